"""Runs the python code of steps, one call at a time, in a process that is kept warm between calls.

Frames come in on file descriptor 3 and go out on 4: four bytes of length, big-endian, then JSON. Standard
output and error belong to the code that is run. When the other end of 3 closes, the process group ends
itself, even in the midst of a call.
"""

import ast
import asyncio
import base64
import datetime
import decimal
import importlib
import inspect
import io
import json
import linecache
import logging
import math
import os
import random
import select
import signal
import struct
import sys
import threading
import traceback
import types
import uuid

IN, OUT = 3, 4
FILE = "<code>"
WRAPPER = "__noetl_code__"
EXACT = 2**53 - 1
MAX_DEPTH = 200
MISSING = object()


def read_exactly(count):
    parts = []
    while count > 0:
        part = os.read(IN, min(count, 1 << 20))
        if not part:
            os._exit(0)
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def read_frame():
    (length,) = struct.unpack(">I", read_exactly(4))
    return json.loads(read_exactly(length))


write_lock = threading.Lock()


def write_frame(text):
    body = text.encode("utf-8", "backslashreplace")
    data = memoryview(struct.pack(">I", len(body)) + body)
    with write_lock:
        while data:
            data = data[os.write(OUT, data) :]


class Output(io.TextIOBase):
    """Standard output or error: whole lines go to the log, in order with the reply."""

    def __init__(self, name):
        self.stream = name
        self.rest = ""
        self.left = 0

    encoding = "utf-8"

    def writable(self):
        return True

    def fileno(self):
        return 1 if self.stream == "stdout" else 2

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError("write() argument must be str, not %s" % type(text).__name__)
        self.rest += text
        if "\n" in self.rest:
            lines, _, self.rest = self.rest.rpartition("\n")
            self.tell(lines)
        elif len(self.rest) > 65536:
            self.finish()
        return len(text)

    def tell(self, text):
        if self.left <= 0:
            return
        cut = text[: self.left]
        self.left -= len(cut) + 1
        dropped = self.left <= 0
        write_frame(json.dumps({"log": cut, "stream": self.stream, "dropped": dropped}))

    def finish(self):
        if self.rest:
            rest, self.rest = self.rest, ""
            self.tell(rest)


class Surroundings:
    """What code can change beyond its own names, put back after each call."""

    def __init__(self):
        self.environ = dict(os.environ)
        self.cwd = os.getcwd()
        self.path = list(sys.path)
        self.argv = list(sys.argv)
        self.handlers = list(logging.root.handlers)
        self.level = logging.root.level
        self.threads = threading.active_count()
        self.main = sys.modules["__main__"]
        self.recursion = sys.getrecursionlimit()

    def restore(self):
        if os.environ != self.environ:
            os.environ.clear()
            os.environ.update(self.environ)
        try:
            if os.getcwd() != self.cwd:
                os.chdir(self.cwd)
        except OSError:
            os.chdir(self.cwd)
        sys.path[:] = self.path
        sys.argv[:] = self.argv
        sys.stdout, sys.stderr = stdout, stderr
        sys.modules["__main__"] = self.main
        sys.setrecursionlimit(self.recursion)
        logging.root.handlers[:] = self.handlers
        logging.root.setLevel(self.level)
        logging.disable(logging.NOTSET)
        decimal.setcontext(decimal.DefaultContext.copy())
        random.seed()
        linecache.cache.pop(FILE, None)

    def left_behind(self):
        """True when something of the call goes on: a thread or a child process."""
        if threading.active_count() > self.threads:
            return True
        try:
            while True:
                pid, _ = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return True
        except ChildProcessError:
            return False


def plain(value, depth=0):
    """A value as JSON has it."""
    if value is None or value is True or value is False or type(value) is str:
        return value
    if depth > MAX_DEPTH:
        raise ValueError("the result is nested deeper than %d levels, or contains itself" % MAX_DEPTH)
    if isinstance(value, bool):
        return bool(value)
    if isinstance(value, int):
        return int(value) if -EXACT <= value <= EXACT else str(int(value))
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str):
        return str(value)
    if isinstance(value, dict):
        return {key_of(key): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        if hasattr(value, "_asdict"):
            return plain(value._asdict(), depth + 1)
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, decimal.Decimal):
        if not value.is_finite():
            return None
        return plain(int(value)) if value == value.to_integral_value() else float(value)
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(bytes(value)).decode("ascii")
    if isinstance(value, (uuid.UUID, os.PathLike)):
        return str(value)
    if hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
        return {name: plain(getattr(value, name), depth + 1) for name in value.__dataclass_fields__}
    for name in ("tolist", "item", "model_dump", "to_dict"):
        convert = getattr(value, name, None)
        if callable(convert) and not isinstance(value, type):
            return plain(convert(), depth + 1)
    if hasattr(value, "value") and hasattr(type(value), "__members__"):
        return plain(value.value, depth + 1)
    if isinstance(value, (range, types.GeneratorType)) or hasattr(value, "__next__"):
        return [plain(item, depth + 1) for item in value]
    return str(value)


def key_of(key):
    if isinstance(key, str):
        return str(key)
    if key is None or isinstance(key, bool):
        return json.dumps(key)
    return key.isoformat() if hasattr(key, "isoformat") else str(key)


compiled = {}


def compile_code(code, parameters):
    """(code object, whether it defines the wrapper function instead of running by itself)."""
    known = compiled.get(code)
    if known is not None and known[2] == (parameters if known[1] else None):
        return known[0], known[1]
    try:
        made = (compile(code, FILE, "exec"), False, None)
    except SyntaxError as error:
        if "outside function" not in str(error.msg):
            raise
        made = (compile(wrap(code, parameters), FILE, "exec"), True, parameters)
    if len(compiled) >= 256:
        compiled.pop(next(iter(compiled)))
    compiled[code] = made
    return made[0], made[1]


def wrap(code, parameters):
    """Code with a top-level return as the body of a function whose parameters are the arguments."""
    tree = ast.parse(code, FILE)
    awaits = any(isinstance(node, ast.Await) for node in ast.walk(tree))
    ending = ast.parse("return locals().get('result')").body
    frame = ast.parse("%sdef %s(): pass" % ("async " if awaits else "", WRAPPER))
    function = frame.body[0]
    function.args.args = [ast.arg(arg=name) for name in parameters]
    function.args.kwonlyargs = []
    function.body = tree.body + ending
    return ast.fix_missing_locations(frame)


def call_main(main, arguments, extras):
    """Calls main() by the names of its parameters."""
    given, keywords, unmatched = [], {}, []
    rest = dict(arguments)
    parameters = list(inspect.signature(main).parameters.values())
    named = [p for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    for parameter in named:
        name = parameter.name
        value = arguments.get(name, extras.get(name, MISSING))
        rest.pop(name, None)
        if value is MISSING:
            if len(named) == 1 and parameter.default is parameter.empty:
                value = dict(arguments)
            elif parameter.default is parameter.empty:
                unmatched.append(name)
                continue
            else:
                continue
        if parameter.kind is parameter.POSITIONAL_ONLY:
            given.append(value)
        else:
            keywords[name] = value
    if unmatched:
        raise TypeError(
            "main() wants %s, which the step does not give; its arguments are: %s"
            % (", ".join(unmatched), ", ".join(arguments) or "none")
        )
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        keywords.update(rest)
    return main(*given, **keywords)


def awaited(value):
    return asyncio.run(value) if inspect.iscoroutine(value) else value


def import_libs(libs, namespace):
    if isinstance(libs, list):
        libs = {str(name).split(".")[0]: {"import": name} for name in libs}
    for alias, wanted in (libs or {}).items():
        if isinstance(wanted, dict):
            source, name = wanted.get("from"), wanted.get("import")
            if source and name:
                namespace[alias] = getattr(importlib.import_module(source), name)
            else:
                importlib.import_module(name or source)
                namespace[alias] = sys.modules[str(name or source).split(".")[0]]
        else:
            namespace[alias] = importlib.import_module(str(wanted))


def run(frame):
    code, arguments = frame["code"], frame["args"]
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    namespace = module.__dict__
    context = frame.get("context") or {}
    extras = {
        "args": arguments,
        "input_data": arguments,
        "context": context,
        "variables": context.get("ctx", {}),
    }
    import_libs(frame.get("libs"), namespace)
    namespace.update(extras)
    namespace.update(arguments)
    lines = code.splitlines(True)
    linecache.cache[FILE] = (len(code), None, lines, FILE)
    parameters = tuple(name for name in arguments if name.isidentifier() and name != WRAPPER)
    made, wrapped = compile_code(code, parameters)
    before = arguments.get("result", MISSING)
    exec(made, namespace)
    if wrapped:
        function = namespace[WRAPPER]
        return awaited(function(**{name: arguments[name] for name in parameters}))
    result = namespace.get("result", MISSING)
    main = namespace.get("main")
    if (result is MISSING or result is before) and callable(main) and "main" not in arguments:
        return awaited(call_main(main, arguments, extras))
    return None if result is MISSING else awaited(result)


def describe(error, code):
    """An exception for whoever wrote the code: their lines, not ours."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == FILE]
    name = type(error).__name__
    message = str(error)
    line = frames[-1].lineno if frames else None
    source = frames[-1].line if frames else None
    if isinstance(error, SyntaxError) and error.filename == FILE:
        line, message = error.lineno, str(error.msg)
        source = (error.text or "").strip()
    if not message and source:
        message = source
    shown = "%s: %s" % (name, message) if message else name
    if line is not None:
        shown += " (line %d)" % line
    listed = traceback.format_list(frames) if frames else []
    text = "".join(["Traceback (most recent call last):\n"] + listed + ["%s: %s\n" % (name, message)])
    return {"exception": name, "message": shown[:20000], "traceback": text[-20000:]}


def answer(frame, surroundings):
    stdout.left = stderr.left = frame["maxLog"]
    failure = None
    text = "null"
    try:
        try:
            value = run(frame)
        except SystemExit as error:
            if error.code not in (None, 0):
                raise
            value = sys.modules["__main__"].__dict__.get("result")
        text = json.dumps(plain(value), allow_nan=False, separators=(",", ":"))
        if len(text) > frame["maxResult"]:
            raise ValueError(
                "the result has %d bytes as JSON; at most %d were expected: store it elsewhere and return where"
                % (len(text), frame["maxResult"])
            )
    except RecursionError as error:
        failure = describe(error, frame["code"])
    except BaseException as error:
        failure = describe(error, frame["code"])
    for stream in (stdout, stderr):
        stream.finish()
    retire = "true" if surroundings.left_behind() else "false"
    if failure is None:
        write_frame('{"result":%s,"retire":%s}' % (text, retire))
    else:
        write_frame('{"failure":%s,"retire":%s}' % (json.dumps(failure), retire))
    surroundings.restore()


def end_with_the_other_side():
    poll = select.poll()
    poll.register(IN, 0)
    while True:
        for _, event in poll.poll():
            if event & (select.POLLHUP | select.POLLERR | select.POLLNVAL):
                os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    os.set_inheritable(IN, False)
    os.set_inheritable(OUT, False)
    sys.path.pop(0)
    sys.path.extend(sys.argv[1:])
    sys.argv[:] = [""]
    stdout, stderr = Output("stdout"), Output("stderr")
    sys.stdout, sys.stderr = stdout, stderr
    threading.Thread(target=end_with_the_other_side, daemon=True).start()
    surroundings = Surroundings()
    write_frame('{"ready":true}')
    while True:
        answer(read_frame(), surroundings)
