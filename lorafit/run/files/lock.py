"""One process at a time in a run folder, or at any other work on disk."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from lorafit.errors import Advice, LorafitError
from lorafit.files import removed_if_empty

LOCK_FILE = "run.lock"
_TRIES, _PAUSE_S = 20, 0.1


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock. `started` distinguishes it from a later process with the same number."""

    host: str
    pid: int
    started: str | None  # in clock ticks since the machine began; None where there is no /proc
    job: str | None  # Slurm's

    @staticmethod
    def this() -> Holder:
        """This process."""
        pid = os.getpid()
        return Holder(socket.gethostname(), pid, _start_time(pid), os.environ.get("SLURM_JOB_ID"))

    @staticmethod
    def of(folder: Path) -> Holder | None:
        """The process that works on a run folder; None where none does. It is not asked, and its lock not touched."""
        try:
            descriptor = os.open(folder / LOCK_FILE, os.O_RDONLY)
        except OSError:
            return None
        try:
            holder = _read(descriptor)
        finally:
            os.close(descriptor)
        return None if holder is None or holder.is_dead() else holder

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}" + (f" (Slurm job {self.job})" if self.job else "")

    def is_dead(self) -> bool:
        """Whether the process is known to have ended: here by its number and start, elsewhere by Slurm's requeue."""
        me = Holder.this()
        if self.host == me.host:
            return not Path(f"/proc/{self.pid}").exists() or _start_time(self.pid) != self.started
        return me.job is not None and self.job == me.job


class _HeldError(Exception):
    """Another process holds the lock: `holder`, where that is known."""

    def __init__(self, holder: Holder | None) -> None:
        super().__init__()
        self.holder = holder

    def explained(self, path: Path, where: str, work: str) -> LorafitError:
        """In the user's words, with what to do."""
        if self.holder is None:
            return LorafitError(f"{where}: another process works on {work}", Advice("wait for it"))
        fault = f"{where}: {self.holder} works on {work}"
        if self.holder.host == socket.gethostname():
            return LorafitError(fault, Advice("wait for it"), Advice("stop it"))
        return LorafitError(
            f"{fault}, or died there, which cannot be seen from this machine",
            Advice("wait for it"),
            Advice(f"if it is gone, delete {path}"),
        )


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock inside the block. The folder is created, and removed again if it stays empty.

    The system releases the lock when its holder dies, however it dies.
    Raises LorafitError while another process holds the lock, and where the folder cannot be written.
    """
    with removed_if_empty(folder):
        try:
            with holding(folder / LOCK_FILE, str(folder), "this run"):
                yield
        finally:
            with contextlib.suppress(OSError):  # not empty, as it should be
                folder.rmdir()


@contextlib.contextmanager
def holding(path: Path, where: str, work: str) -> Iterator[None]:
    """Hold the lock file inside the block; it is removed afterwards. `where` and `work` say what it is for.

    Raises as `locked` does.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _acquire(path)
    except _HeldError as held:
        raise held.explained(path, where, work) from None
    except OSError as error:
        raise LorafitError(f"{where}: cannot be written: {error.strerror}") from None
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _acquire(path: Path) -> int:
    """A descriptor of the lock file that holds the lock."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _take(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        if _is_current(descriptor, path):
            return descriptor
        os.close(descriptor)  # its holder has just finished and removed the file


def _take(descriptor: int) -> None:
    """Hold the lock. Raises _HeldError where another process does."""
    knows_locks = True
    for attempt in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            holder = _read(descriptor)
            if attempt + 1 == _TRIES or not (holder and holder.is_dead()):
                raise _HeldError(holder) from None
            # The holder was killed while it started a program, which keeps the lock for a moment.
            time.sleep(_PAUSE_S)
        except OSError:  # a file system without locks: the content of the file must do
            knows_locks = False
            break
    holder, me = _read(descriptor), Holder.this()
    free = holder is None or holder.is_dead() or (knows_locks and holder.host == me.host)
    if not free:
        raise _HeldError(holder)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(asdict(me)).encode(), 0)


def _read(descriptor: int) -> Holder | None:
    try:
        return Holder(**json.loads(os.pread(descriptor, 4096, 0)))
    except (ValueError, TypeError):
        return None


def _is_current(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def _start_time(pid: int) -> str | None:
    """None of a process that has ended, although nobody has asked yet how."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] == "Z" else fields[19]
    except (OSError, IndexError):
        return None
