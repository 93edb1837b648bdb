"""`python -m MODULE ARGUMENTS` as a process of its own that need not import anything first.

A helper, one for a test process or for all of pytest-xdist's, has imported what commands import, has computed nothing
and has one thread. Every process is a fork of it with its own arguments, working folder, environment and file
descriptors, random state, signal handlers and exit code. What such a process takes for the interpreter,
`sys.executable`, asks the helper too.

    python -m tests.support.warm DESCRIPTOR FOLDER         # the helper; requests come over that listening socket
    python tests/support/warm.py FOLDER -m MODULE ARGUMENTS   # instead of an interpreter
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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn, TypeAlias

ROOT = Path(__file__).resolve().parents[2]
Stream: TypeAlias = int | IO[str]  # a file descriptor or what has one
READ_AT_IMPORT = ("HF_", "OMP_", "TRANSFORMERS_")
ENVIRONMENT = dict(os.environ)
_HELPER: list[Path] = []  # one at most
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
    streams = [each if isinstance(each, int) else each.fileno() for each in (stdin, stdout, stderr)]
    request = Request(module, [*map(str, arguments)], str(cwd), environment, new_session)
    return _ask(helper(), request, streams)


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


def interpreter() -> str:
    """What runs `-m MODULE ARGUMENTS` as `start` does, and all else as Python."""
    return str(helper() / "python")


def helper() -> Path:
    """The folder with the helper's socket; the first call starts it."""
    if not _HELPER:
        _HELPER.append(_start_helper())
    return _HELPER[0]


def share(folder: Path) -> None:
    """Ask the helper that another process has started, as long as that process runs."""
    _HELPER.append(folder)


@dataclass(frozen=True)
class Request:
    """What a process shall be."""

    module: str
    arguments: list[str]
    cwd: str
    environment: dict[str, str]
    new_session: bool = False


def _start_helper() -> Path:
    """It ends with this process."""
    folder = tempfile.TemporaryDirectory(prefix="warm-")
    root = Path(folder.name)
    script = f'#!/bin/sh\nexec {sys.executable} -S {__file__} {root} "$@"\n'
    (root / "python").write_text(script)
    (root / "python").chmod(0o755)
    with socket.socket(socket.AF_UNIX) as requests:
        requests.bind(str(root / "socket"))
        requests.listen()
        command = [
            "-W",
            "error::FutureWarning",
            "-m",
            "tests.support.warm",
            str(requests.fileno()),
            str(root),
        ]
        without_threads = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}  # a fork would lack it
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=ENVIRONMENT | without_threads,
            stdin=subprocess.PIPE,
            pass_fds=[requests.fileno()],
            start_new_session=True,
        )

    def end() -> None:
        process.communicate()  # closes its input
        folder.cleanup()

    atexit.register(end)
    return root


def _ask(folder: Path, request: Request, streams: Sequence[int]) -> Process:
    channel = socket.socket(socket.AF_UNIX)
    channel.connect(str(folder / "socket"))
    socket.send_fds(channel, [b"."], streams)
    channel.sendall(json.dumps(vars(request)).encode())
    channel.shutdown(socket.SHUT_WR)
    return Process(_number(channel), channel)


def _number(channel: socket.socket) -> int:
    told = channel.recv(4)
    if len(told) < 4:
        raise ConnectionError("the helper that starts processes has ended")
    return int.from_bytes(told, signed=True)


def _tell(channel: socket.socket, number: int) -> None:
    channel.sendall(number.to_bytes(4, signed=True))


def do_not_wait_for_the_disk() -> None:
    """No test takes the power off, and waiting costs a tenth of all time."""
    os.fsync = lambda _: None  # type: ignore[assignment]


def _import_all() -> None:
    gc.disable()  # until all is there
    import lorafit

    assert callable(lorafit.train), "as the first thing that a program asks for"
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
    gc.enable()


def _serve(requests: socket.socket) -> Request | None:
    """Fork for every request. In a fork: what it shall be; in the helper, after the last request: None."""
    wake, woken = socket.socketpair()
    woken.setblocking(False)
    signal.set_wakeup_fd(woken.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: dict[int, socket.socket] = {}
    with selectors.DefaultSelector() as selector:
        for each in (requests, wake, sys.stdin):
            selector.register(each, selectors.EVENT_READ)
        while True:
            ready = [key.fileobj for key, _ in selector.select()]
            if wake in ready:
                wake.recv(4096)
                _tell_exit_codes(children)
            if sys.stdin in ready:  # closed
                for child in children:
                    os.kill(child, signal.SIGKILL)
                return None
            if requests in ready:
                channel, _ = requests.accept()
                _, descriptors, _, _ = socket.recv_fds(channel, 1, 3)
                with channel.makefile() as lines:
                    request = Request(**json.load(lines))
                pid = os.fork()
                if not pid:
                    break
                _tell(channel, pid)
                children[pid] = channel
                for descriptor in descriptors:
                    os.close(descriptor)
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
    return request


def _tell_exit_codes(children: dict[int, socket.socket]) -> None:
    for pid in list(children):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            with children.pop(pid) as channel, contextlib.suppress(BrokenPipeError):
                _tell(channel, os.waitstatus_to_exitcode(status))


def _become(request: Request, folder: Path) -> NoReturn:
    """In a fork: run the module, with all that an interpreter has then, and end as an interpreter does."""
    import numpy as np

    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    if request.new_session:
        os.setsid()
    os.chdir(request.cwd)
    os.environ.clear()
    os.environ.update(request.environment)
    np.random.seed()  # Python's own generator starts anew in every fork
    sys.stdout.reconfigure(line_buffering=os.isatty(1))  # type: ignore[union-attr]
    sys.executable = str(folder / "python")
    sys.path[0] = request.cwd
    sys.argv = [request.module, *request.arguments]
    code = 0
    try:
        runpy.run_module(request.module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if code and code is not end.code:
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if not stream.closed:
            stream.flush()
    os._exit(code)  # without tearing all modules down


def _instead_of_python(folder: Path, *arguments: str) -> NoReturn:
    """Ask for the process, pass signals on to it, and end as it does."""
    if arguments[:1] != ("-m",):
        os.execv(sys.executable, [sys.executable, *arguments])
    passed_on = {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2}
    signal.pthread_sigmask(signal.SIG_BLOCK, passed_on)
    request = Request(arguments[1], [*arguments[2:]], str(Path.cwd()), dict(os.environ))
    process = _ask(folder, request, (0, 1, 2))
    for number in passed_on:
        signal.signal(number, lambda number, _: process.send_signal(number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, passed_on)
    code = process.wait()
    assert code is not None
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    if sys.argv[1].isdecimal():
        _import_all()
        with socket.socket(fileno=int(sys.argv[1])) as listening:
            wanted = _serve(listening)
        if wanted:
            _become(wanted, Path(sys.argv[2]))
    else:
        _instead_of_python(Path(sys.argv[1]), *sys.argv[2:])
