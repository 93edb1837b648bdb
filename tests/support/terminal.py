"""A command on a terminal of its own: a pseudo-terminal, its screen read as text."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support import warm

PATIENCE_S = 60.0


class Terminal:
    """`lorafit ARGUMENTS` on a terminal of so many columns and rows; `output` is all that it has written."""

    def __init__(
        self,
        *arguments: str,
        columns: int = 200,
        rows: int = 40,
        cwd: Path = warm.ROOT,
        environment: dict[str, str] | None = None,
    ) -> None:
        self._leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        variables = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
        variables |= {"TERM": "xterm-256color", **(environment or {})}
        self._process = warm.start(
            *arguments,
            stdin=follower,
            stdout=follower,
            stderr=follower,
            cwd=cwd,
            env=variables,
            new_session=True,
        )
        os.close(follower)
        self.output = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._leader)

    def send(self, text: str) -> None:
        """Type something."""
        os.write(self._leader, text.encode())

    def expect(self, text: str) -> None:
        """Wait until it stands there."""
        end = time.monotonic() + PATIENCE_S
        while text not in self.output:
            assert time.monotonic() < end, f"{text!r} never came:\n{self.output}"
            if not self._read(0.1) and self._process.poll() is not None:
                assert text in self.output, f"ended without {text!r}:\n{self.output}"

    def wait(self) -> int:
        """Read to the end; the exit code."""
        end = time.monotonic() + PATIENCE_S
        while self._read(0.1) or self._process.poll() is None:
            assert time.monotonic() < end, self.output
        code = self._process.wait()
        assert code is not None
        return code

    def _read(self, timeout_s: float) -> bool:
        ready, _, _ = select.select([self._leader], [], [], timeout_s)
        if not ready:
            return False
        try:
            data = os.read(self._leader, 65536)
        except OSError:  # the other side is closed
            return False
        self.output += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)
