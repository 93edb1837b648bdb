"""`python -m MODULE ARGUMENTS` as a process of its own that need not import anything first.

A helper, one for a test process, has imported what commands import, has computed nothing and has one thread. Every
process is a fork of it with its own arguments, working folder, environment and file descriptors, random state, signal
handlers and exit code.

    python -m tests.support.warm DESCRIPTOR   # the helper; requests come over that socket
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, NoReturn, TypeAlias

ROOT = Path(__file__).resolve().parents[2]
Stream: TypeAlias = int | IO[str]  # a file descriptor or what has one
READ_AT_IMPORT = ("HF_", "OMP_", "TRANSFORMERS_")
ENVIRONMENT = dict(os.environ)
FAMILIES = ("bert", "deberta_v2", "gpt2", "llama", "mistral", "qwen2", "roberta")


@dataclass
class Process:
    """A process that has been started; as `subprocess.Popen`, without its pipes."""

    pid: int
    channel: socket.socket
    returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, or None as long as it runs."""
        return self.wait(0.0)

    def wait(self, timeout_s: float | None = None) -> int | None:
        """The exit code, or None if it still runs after so many seconds; minus the number of a signal that ended it."""
        if self.returncode is None:
            ready, _, _ = select.select([self.channel], [], [], timeout_s)
            if ready:
                self.returncode = _number(self.channel)
                self.channel.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """With SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.wait()


def start(
    *arguments: str | Path,
    stdin: Stream,
    stdout: Stream,
    stderr: Stream,
    module: str = "lorafit",
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    new_session: bool = False,
) -> Process:
    """Start it on these files, which stay the caller's.

    Raises:
        ValueError: The environment has another value of a variable that libraries read when they are imported.

    """
    environment = dict(os.environ if env is None else env)
    for name in {*environment, *ENVIRONMENT}:
        if name.startswith(READ_AT_IMPORT) and environment.get(name) != ENVIRONMENT.get(name):
            raise ValueError(f"{name} is read when libraries are imported: start an interpreter")
    ours, theirs = socket.socketpair()
    streams = [each if isinstance(each, int) else each.fileno() for each in (stdin, stdout, stderr)]
    socket.send_fds(_helper(), [b"."], [theirs.fileno(), *streams])
    theirs.close()
    request = {
        "module": module,
        "arguments": [str(argument) for argument in arguments],
        "cwd": str(cwd),
        "environment": environment,
        "new_session": new_session,
    }
    ours.sendall(json.dumps(request).encode())
    ours.shutdown(socket.SHUT_WR)
    return Process(_number(ours), ours)


def run(*arguments: str | Path, stdin: str = "", **more: Any) -> subprocess.CompletedProcess[str]:
    """Start it, wait for its end, and take what it wrote; `more` goes to `start`."""
    with (
        tempfile.TemporaryFile("w+") as given,
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
    ):
        given.write(stdin)
        given.seek(0)
        code = start(*arguments, stdin=given, stdout=out, stderr=err, **more).wait()
        out.seek(0)
        err.seek(0)
        assert code is not None
        return subprocess.CompletedProcess([*map(str, arguments)], code, out.read(), err.read())


@cache
def _helper() -> socket.socket:
    """Requests go there."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-W", "error::FutureWarning", "-m", "tests.support.warm", str(theirs.fileno())]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={
            **ENVIRONMENT,
            "JE_ARROW_MALLOC_CONF": "background_thread:false",
        },  # a fork would lack that thread
        stdin=subprocess.DEVNULL,
        pass_fds=[theirs.fileno()],
        start_new_session=True,
    )
    theirs.close()

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def _number(channel: socket.socket) -> int:
    return int.from_bytes(channel.recv(4), signed=True)


def _tell(channel: socket.socket, number: int) -> None:
    channel.sendall(number.to_bytes(4, signed=True))


def do_not_wait_for_the_disk() -> None:
    """No test takes the power off, and waiting costs a tenth of all time."""
    os.fsync = lambda _: None  # type: ignore[assignment]


def _import_all() -> None:
    import lorafit

    for name in ("evaluate", "numpy.random", "sacrebleu", "scipy.stats", "sklearn.metrics"):
        importlib.import_module(name)
    for module in pkgutil.walk_packages(lorafit.__path__, "lorafit."):
        if module.name != "lorafit.__main__":
            importlib.import_module(module.name)
    for name in FAMILIES:
        importlib.import_module(f"transformers.models.{name}.modeling_{name}")
    if (tasks := Path("/proc/self/task")).is_dir():
        assert len([*tasks.iterdir()]) == 1, "a fork would lack a thread"
    do_not_wait_for_the_disk()
    gc.collect()
    gc.freeze()


def _serve(requests: socket.socket) -> dict[str, Any] | None:
    """Fork for every request. In a fork: what it shall be; in the helper, after the last request: None."""
    wake, woken = socket.socketpair()
    woken.setblocking(False)
    signal.set_wakeup_fd(woken.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: dict[int, socket.socket] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(requests, selectors.EVENT_READ)
        selector.register(wake, selectors.EVENT_READ)
        while True:
            ready = [key.fileobj for key, _ in selector.select()]
            if wake in ready:
                wake.recv(4096)
                _tell_exit_codes(children)
            if requests in ready:
                message, descriptors, _, _ = socket.recv_fds(requests, 1, 4)
                if not message:
                    for child in children:
                        os.kill(child, signal.SIGKILL)
                    return None
                channel = socket.socket(fileno=descriptors[0])
                with channel.makefile() as lines:
                    request: dict[str, Any] = json.load(lines)
                pid = os.fork()
                if not pid:
                    break
                _tell(channel, pid)
                children[pid] = channel
                for descriptor in descriptors[1:]:
                    os.close(descriptor)
    for number, descriptor in enumerate(descriptors[1:]):
        os.dup2(descriptor, number)
    return request


def _tell_exit_codes(children: dict[int, socket.socket]) -> None:
    for pid in list(children):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            with children.pop(pid) as channel, contextlib.suppress(BrokenPipeError):
                _tell(channel, os.waitstatus_to_exitcode(status))


def _become(request: dict[str, Any]) -> NoReturn:
    """In a fork: run the module, with all that an interpreter has then, and end as an interpreter does."""
    import numpy as np

    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    if request["new_session"]:
        os.setsid()
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    np.random.seed()  # Python's own generator starts anew in every fork
    sys.stdout.reconfigure(line_buffering=os.isatty(1))  # type: ignore[union-attr]
    sys.path[0] = request["cwd"]
    sys.argv = [request["module"], *request["arguments"]]
    code = 0
    try:
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)  # without tearing all modules down


if __name__ == "__main__":
    _import_all()
    with socket.socket(fileno=int(sys.argv[1])) as control:
        wanted = _serve(control)
    if wanted:
        _become(wanted)
