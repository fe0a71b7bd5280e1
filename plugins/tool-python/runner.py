"""Runs the code of one call in a child that parent.py forked for it, and ends the child with its reply."""

import ast
import atexit
import base64
import builtins
import datetime
import decimal
import gc
import importlib
import inspect
import json
import linecache
import math
import os
import re
import struct
import sys
import threading
import traceback
import types
import uuid

FILE = "<code>"
WRAPPER = "__noetl_code__"
MAX_DEPTH = 200
MISSING = object()

# Functions below keep the builtins and the few functions they need, whatever the code does to the modules.
__builtins__ = dict(vars(builtins))
end_process, own_pid, write, length_of_frame = os._exit, os.getpid, os.write, struct.Struct(">I").pack
encode, decode, Decimal = json.dumps, json.loads, decimal.Decimal
BROKEN = json.dumps(
    {
        "failure": {
            "exception": "RuntimeError",
            "message": "RuntimeError: the code broke builtins or standard modules; its result cannot be told",
            "traceback": "",
        }
    }
).encode()


class Room:
    """Bytes that the result may still take as JSON."""

    limit = left = 0


def counted(items):
    for item in items:
        spend(2)
        yield item


def spend(count):
    """Ends a result at its limit while it is read: generators may be endless."""
    Room.left -= count
    if Room.left < 0:
        raise ValueError(
            "the result has more than %d bytes as JSON: store it elsewhere and return where" % Room.limit
        )


class Exact(float):
    """A number with more digits than a float has: computes as the nearest float, passes on as its digits."""

    __slots__ = ("text",)

    def __new__(cls, text):
        made = float.__new__(cls, text)
        made.text = str(text)
        return made

    def __str__(self):
        return self.text

    __repr__ = __str__

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        # Whoever unpickles it does not know this class.
        return (float, (self.text,))


# Sixteen digits, or an exponent of three; most frames have neither, and are read by the parser's own means.
LONG_NUMBER = re.compile(rb"[\[:,\s]-?(?:[\d.]{16}|\d[\d.]*[eE][+-]?\d{3})")
# Numbers longer than this, or larger than any float, are text to the other side.
LONGEST = 1000


class Marked:
    """A number that json would not write as it is goes through it as a text with a mark, another in each call."""

    mark = ""
    count = 0


def read_values(data):
    """JSON as values: a number that a float does not carry is an Exact."""
    return decode(data, parse_float=read_float) if LONG_NUMBER.search(data) else decode(data)


def read_float(text):
    value = float(text)
    if len(text) < 16 or Decimal(repr(value)) == Decimal(text):
        return value
    return Exact(text)


def write_values(value):
    """A value as JSON, its numbers with all their digits."""
    Marked.mark, Marked.count = "number-%s:" % os.urandom(16).hex(), 0
    text = encode(plain(value), allow_nan=False, separators=(",", ":"))
    return re.sub('"%s([^"]*)"' % Marked.mark, r"\1", text) if Marked.count else text


def digits(text):
    Marked.count += 1
    return Marked.mark + text


def plain_decimal(value):
    if not value.is_finite():
        return None
    if abs(value.adjusted()) > LONGEST or len(value.as_tuple().digits) > LONGEST:
        return str(value)
    if value == value.to_integral_value():
        return int(value)
    number = float(value)
    return number if Decimal(repr(number)) == value else digits(str(value))


def plain(value, depth=0):
    """A value as JSON has it."""
    if type(value) is str:
        spend(len(value))
        return value
    if value is None or value is True or value is False:
        return value
    if depth > MAX_DEPTH:
        raise ValueError("the result is nested deeper than %d levels, or contains itself" % MAX_DEPTH)
    if isinstance(value, bool):
        return bool(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, Exact):
        return digits(value.text)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str):
        return str(value)
    if isinstance(value, dict):
        spend(2 * len(value))
        return {key_of(key): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        if hasattr(value, "_asdict"):
            return plain(value._asdict(), depth + 1)
        spend(2 * len(value))
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, Decimal):
        return plain_decimal(value)
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
        return [plain(item, depth + 1) for item in counted(value)]
    return str(value)


def key_of(key):
    if isinstance(key, str):
        return str(key)
    if key is None or isinstance(key, bool):
        return json.dumps(key)
    return key.isoformat() if hasattr(key, "isoformat") else str(key)


def compile_code(code, parameters):
    """(code object, whether it defines the wrapper function instead of running by itself)."""
    try:
        return compile(code, FILE, "exec", dont_inherit=True), False
    except SyntaxError as error:
        if "outside function" not in str(error.msg):
            raise
        return compile(wrap(code, parameters), FILE, "exec", dont_inherit=True), True


def wrap(code, parameters):
    """Code with a top-level return as the body of a function whose parameters are the arguments."""
    tree = ast.parse(code, FILE)
    awaits = any(isinstance(node, ast.Await) for node in ast.walk(tree))
    ending = ast.parse("return locals().get('result')").body
    frame = ast.parse("%sdef %s(): pass" % ("async " if awaits else "", WRAPPER))
    function = frame.body[0]
    function.args.args = [ast.arg(arg=name) for name in parameters]
    # What is imported from the future must stand at the beginning of a module.
    future = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    function.body = [node for node in tree.body if node not in future] + ending
    frame.body = future + frame.body
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
    if not inspect.iscoroutine(value):
        return value
    import asyncio

    return asyncio.run(value)


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


def run(frame, namespace):
    code, arguments = frame["code"], frame["args"]
    context = frame.get("context") or {}
    extras = {
        "args": arguments,
        "input_data": arguments,
        "context": context,
        "variables": context.get("ctx", {}),
    }
    if "traceparent" in frame:
        os.environ["TRACEPARENT"] = frame["traceparent"]
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
    name = type(error).__name__[:200]
    try:
        message = str(error)[:20000]
    except Exception:
        message = "(an exception whose str() fails)"
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


def answer(body, fd, max_result):
    """Runs one call and writes the reply to `fd`: its length (four bytes), then JSON. The process ends with it."""
    pid = own_pid()
    outputs = [sys.stdout, sys.stderr]
    if "numpy.random" in sys.modules:
        # Imported ahead, it would give every call the same numbers; those of `random` begin anew by themselves.
        sys.modules["numpy.random"].seed()
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        reply = reply_of(body, module.__dict__, max_result)
    except BaseException:
        reply = BROKEN
    if own_pid() != pid:
        # A copy that the code made of its process; the original answers.
        end_process(0)
    for step in (lambda: release(module), atexit._run_exitfuncs, *[one.flush for one in outputs]):
        try:
            step()
        except BaseException:
            pass
    data = memoryview(length_of_frame(len(reply)) + reply)
    while data:
        data = data[write(fd, data) :]
    end_process(0)


def warm_up():
    """Touches the memory that a call needs, while the child waits for its own: a fork copies it at the first touch."""
    reply_of(b'{"code":"def main(a): return [a]","args":{"a":1}}', {}, 1000)


def reply_of(body, namespace, max_result):
    frame = read_values(body)
    try:
        try:
            value = run(frame, namespace)
        except SystemExit as error:
            if error.code not in (None, 0):
                raise
            value = namespace.get("result")
        Room.limit = Room.left = max_result
        text = write_values(value)
        Room.left = max_result
        spend(len(text))
        reply = '{"result":%s}' % text
    except BaseException as error:
        reply = '{"failure":%s}' % encode(describe(error, frame["code"]))
    return reply.encode("utf-8", "backslashreplace")


def release(module):
    """Files that are still open are written out, temporary ones removed, as at the end of a program."""
    if threading.active_count() == 1:
        module.__dict__.clear()
        gc.collect()
