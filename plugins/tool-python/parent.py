"""The warm interpreter: imports once, then forks a child for each call. It never runs code of a call itself.

Frames come in on file descriptor 3 and go out on 4: length of the body (four bytes, big-endian), kind (one
byte), number of the call (four bytes), body. What a call says is passed on in pieces as it comes and kept by
nobody here, so that the children forked next find nothing of it in their memory.

A child is forked ahead and waits for its call. It leads a session of its own; what it leaves behind is killed
with it: its process group, and on Linux also what went to other groups, for orphans come back to the nearest
"subreaper", which is the child while it lives and this process then. When the worker ends, however it ends,
descriptor 3 is at its end, and all is killed. When this process is killed, the kernel kills the children.
"""

import atexit
import gc
import importlib
import json
import logging
import os
import select
import signal
import struct
import sys
import time
import traceback

IN, OUT = 3, 4
HEADER = struct.Struct(">IBI")
CALL, KILL = 1, 2
READY, STDOUT, STDERR, STDOUT_DROPPED, STDERR_DROPPED, REPLY_PART, REPLY_END, ENDED = range(8)
PIECE = 1 << 16
# Seconds that a child may go on after it closed the descriptor of its reply.
GRACE = 0.05
# What most code imports. Each module more makes every fork slower: asyncio and ssl are not worth it.
COMMON = """bisect calendar collections copy csv datetime decimal functools glob hashlib hmac html itertools json logging
math operator random re secrets shutil statistics string subprocess tempfile textwrap time typing urllib.parse uuid
zoneinfo""".split()
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


class Child:
    """A forked child: without a number while it waits for its call and when it has answered."""

    def __init__(self, pid, call, reply, streams, max_log):
        self.pid = pid
        self.number = None
        self.call, self.reply, self.streams = call, reply, streams
        self.open = {reply, *streams}
        self.left = [max_log, max_log]
        self.head = b""
        self.missing = None
        self.fault = {}


def kernel_call():
    """prctl of Linux; elsewhere nothing."""
    if not sys.platform.startswith("linux"):
        return lambda *_: None
    try:
        import ctypes

        call = ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):
        return lambda *_: None
    return lambda option, value: call(option, value, 0, 0, 0)


def children_of_this():
    """Process ids of the direct children, as far as the system tells them."""
    try:
        with open("/proc/self/task/%d/children" % os.getpid()) as file:
            return {int(pid) for pid in file.read().split()}
    except OSError:
        return set()


def quietly(function, *arguments):
    try:
        return function(*arguments)
    except OSError:
        return None


def read_exactly(fd, count, on_part):
    while count > 0:
        part = os.read(fd, min(count, PIECE))
        if not part:
            raise EOFError
        on_part(part)
        count -= len(part)


def write_all(fd, data):
    data = memoryview(data)
    while data:
        data = data[os.write(fd, data) :]


def serve(run_call, warm_up, max_reply, max_log):
    """Until the worker is gone: takes calls, hands each to a child, passes on what the children say."""
    parent = os.getpid()
    prctl = kernel_call()
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    not_ours = children_of_this()
    by_pid, by_number, by_fd, waiting, mute = {}, {}, {}, [], {}
    wake, wake_up = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(wake_up, False)
    signal.set_wakeup_fd(wake_up, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    poller = select.poll()
    poller.register(IN, select.POLLIN)
    poller.register(wake, select.POLLIN)
    short = True

    def tell(kind, number, body=b""):
        write_all(OUT, HEADER.pack(len(body), kind, number) + body)

    def fork():
        pipes = []
        try:
            for _ in range(4):
                pipes.append(os.pipe())
            pid = os.fork()
        except OSError:
            for fd in sum(pipes, ()):
                os.close(fd)
            raise
        (call, call_in), (reply_out, reply), (out, stdout), (err, stderr) = pipes
        if pid == 0:
            try:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os.setsid()
                prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                prctl(PR_SET_CHILD_SUBREAPER, 1)
                if os.getppid() != parent:
                    os._exit(0)
                os.dup2(stdout, 1)
                os.dup2(stderr, 2)
                for fd in (IN, OUT, wake, wake_up, call_in, reply_out, out, err, stdout, stderr, *by_fd):
                    os.close(fd)
                for other in waiting:
                    os.close(other.call)
                warm_up()
                body = []
                read_exactly(call, 4, body.append)
                (length,) = struct.unpack(">I", b"".join(body))
                body.clear()
                read_exactly(call, length, body.append)
                os.close(call)
                atexit._clear()
                atexit.register(logging.shutdown)
                run_call(b"".join(body), reply)
            except EOFError:
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
            finally:
                os._exit(70)
        for fd in (call, reply, stdout, stderr):
            os.close(fd)
        child = Child(pid, call_in, reply_out, (out, err), max_log)
        by_pid[pid] = child
        for fd, what in ((reply_out, None), (out, 0), (err, 1)):
            os.set_blocking(fd, False)
            by_fd[fd] = (child, what)
            poller.register(fd, select.POLLIN)
        return child

    def forget(child, *fds):
        for fd in child.open.intersection(fds):
            child.open.remove(fd)
            del by_fd[fd]
            poller.unregister(fd)
            os.close(fd)

    def kill(child):
        """Also before it leads its group."""
        quietly(os.killpg, child.pid, signal.SIGKILL)
        if child.pid in by_pid:
            quietly(os.kill, child.pid, signal.SIGKILL)

    def read_call():
        nonlocal short
        head = []
        read_exactly(IN, HEADER.size, head.append)
        length, kind, number = HEADER.unpack(b"".join(head))
        if kind == KILL:
            child = by_number.get(number)
            if child is not None:
                kill(child)
            return
        try:
            child = waiting.pop() if waiting else fork()
        except OSError as error:
            read_exactly(IN, length, lambda part: None)
            tell(ENDED, number, json.dumps({"unable": "no process could be forked: %s" % error}).encode())
            return
        short = True
        child.number = number
        by_number[number] = child
        # The child takes it before it runs any code, so this cannot block for long; it may have been killed.
        quietly(write_all, child.call, struct.pack(">I", length))
        read_exactly(IN, length, lambda part: quietly(write_all, child.call, part))
        os.close(child.call)

    def read_output(child, stream):
        """Passes on what came; False when nothing more is there, or nothing more is wanted."""
        fd = child.streams[stream]
        if fd not in child.open:
            return False
        try:
            data = os.read(fd, PIECE)
        except BlockingIOError:
            return False
        if not data:
            forget(child, fd)
            return False
        left = child.left[stream]
        if child.number is None or left < 0:
            return False
        if left > 0:
            tell(STDOUT + stream, child.number, data[:left])
        child.left[stream] = left - len(data)
        if child.left[stream] < 0:
            tell(STDOUT_DROPPED + stream, child.number)
        return True

    def read_reply(child):
        """Passes on what came; False when nothing more is there."""
        if child.reply not in child.open:
            return False
        try:
            data = os.read(child.reply, PIECE)
        except BlockingIOError:
            return False
        if not data:
            # It can answer no more: it ends, or closed what it should not.
            forget(child, child.reply)
            mute[child] = time.monotonic() + GRACE
            return False
        if child.missing is None:
            child.head += data
            if len(child.head) < 4:
                return True
            (child.missing,) = struct.unpack(">I", child.head[:4])
            data, child.head = child.head[4:], b""
            if child.missing > max_reply or child.number is None:
                child.fault["foreign"] = True
                forget(child, child.reply)
                kill(child)
                return False
        data = data[: child.missing]
        child.missing -= len(data)
        if child.missing > 0:
            tell(REPLY_PART, child.number, data)
            return True
        for stream in (0, 1):
            while read_output(child, stream):
                pass
        end(child, REPLY_END, data)
        return False

    def end(child, kind, body):
        """The last word of a call."""
        tell(kind, child.number, body)
        del by_number[child.number]
        child.number = None
        forget(child, child.reply, *child.streams)
        kill(child)

    def reap():
        """Takes note of the dead, and kills what they left behind."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                break
            child = by_pid.pop(pid, None)
            if child is not None:
                bury(child, status)
                mute.pop(child, None)
        strays = children_of_this() - not_ours - by_pid.keys()
        for pid in strays:
            quietly(os.kill, pid, signal.SIGKILL)
        return True

    def bury(child, status):
        if child.number is None:
            if child in waiting:
                waiting.remove(child)
                os.close(child.call)
            forget(child, child.reply, *child.streams)
            return
        while read_reply(child):
            pass
        if child.number is None:
            return
        for stream in (0, 1):
            while read_output(child, stream):
                pass
        code = None if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        facts = {"exitCode": code, "signal": None if number is None else signal_name(number), **child.fault}
        end(child, ENDED, json.dumps(facts).encode())

    def end_mute():
        for child, when in list(mute.items()):
            if time.monotonic() > when:
                del mute[child]
                child.fault["closed"] = True
                kill(child)

    def end_all():
        for child in by_pid.values():
            child.number = None
            kill(child)
        for _ in range(100):
            if not reap():
                return
            poller_of_dead.poll(50)
            quietly(os.read, wake, 4096)

    poller_of_dead = select.poll()
    poller_of_dead.register(wake, select.POLLIN)
    tell(READY, 0)
    gc.collect()
    gc.freeze()
    try:
        while True:
            # The next child is forked when nothing else is to be done: most calls end at once.
            if short:
                events = poller.poll(2 if by_number else 0)
            else:
                events = poller.poll(GRACE * 1000 if mute else None)
            end_mute()
            if not events and short:
                short = False
                if not waiting:
                    child = quietly(fork)
                    if child is not None:
                        waiting.append(child)
            for fd, _ in events:
                if fd == IN:
                    read_call()
                elif fd == wake:
                    quietly(os.read, wake, 4096)
                    reap()
                elif fd in by_fd:
                    child, stream = by_fd[fd]
                    if stream is None:
                        read_reply(child)
                    else:
                        read_output(child, stream)
    except (EOFError, OSError):
        # The worker is gone.
        end_all()


def signal_name(number):
    try:
        return signal.Signals(number).name
    except ValueError:
        return "signal %d" % number


def import_ahead(names):
    for name in COMMON:
        try:
            importlib.import_module(name)
        except ImportError:
            pass
    for name in names:
        try:
            importlib.import_module(name)
        except BaseException as error:
            sys.exit(
                'the module "%s" of the option preload (NOETL_PYTHON_PRELOAD) cannot be imported: %s: %s'
                % (name, type(error).__name__, error)
            )


if __name__ == "__main__":
    import runner

    options = json.loads(sys.argv[1])
    for fd in (IN, OUT):
        os.set_inheritable(fd, False)
    del sys.modules["runner"]
    sys.path.pop(0)
    sys.path.extend(options["paths"])
    sys.argv[:] = [""]
    import_ahead(options["preload"])
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace", line_buffering=True)
    # A failure is described in so much; see describe().
    serve(
        lambda body, fd: runner.answer(body, fd, options["maxResult"]),
        runner.warm_up,
        options["maxResult"] + (1 << 20),
        options["maxLog"],
    )
    os._exit(0)
