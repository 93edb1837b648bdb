"""METEOR 1.5 (Denkowski and Lavie 2014), 0 to 1, by the original Java program, which has no equal.

nltk's METEOR is another: 0.79 where the program gives 0.45. pycocoevalcap's wrapper never reads what the program
complains of, and depends on the locale.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lorafit.errors import NotFoundError, reason_of
from lorafit.metrics.score import Kind, Score, TextMetric, present
from lorafit.metrics.text import ptb

_SEPARATOR = " ||| "
_IDLE_SECONDS = 60
_LOCK = threading.Lock()


@dataclass(frozen=True)
class Meteor(TextMetric):
    """meteor-1.5.jar with `-l en -norm`; the jar comes with pycocoevalcap.

    Starting it takes some 10 s (a paraphrase table of 62 MB), so all parts of a corpus go through one run, and the next
    corpus finds it still running.
    """

    kind: Kind = "text"
    keys: tuple[str, ...] = ("meteor",)
    measure: str = "METEOR of the text"

    ptb: bool = False  # Treebank tokens first, as the E2E challenge's scorer does

    def unavailable(self) -> str | None:
        """What is missing of Java and the jar."""
        if shutil.which("java") is None:
            return "METEOR 1.5 needs Java: install a Java runtime, 8 or newer (Debian: default-jre-headless)"
        if find_jar() is None:
            return "METEOR 1.5 needs meteor-1.5.jar: pip install 'lorafit[e2e]'"
        return None

    def compute(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> list[Score]:
        """One score, "meteor"; its value is None where Java or the jar is missing or fails."""
        return self.compute_parts(predictions, references, {"all": range(len(predictions))})["all"]

    def compute_parts(
        self,
        predictions: Sequence[str],
        references: Sequence[Sequence[str]],
        parts: Mapping[str, Sequence[int]],
    ) -> dict[str, list[Score]]:
        """As `compute`, for several parts at the price of one."""
        signature = f"nrefs:var|tok:{ptb.SIGNATURE if self.ptb else 'none'}|lang:en|norm:yes|jar:1.5"
        try:
            values = self._run(predictions, references, parts)
        except NotFoundError as fault:
            return {part: [Score("meteor", None, signature, str(fault))] for part in parts}
        return {part: [Score("meteor", figures[-1], signature)] for part, figures in values.items()}

    def per_example(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
        """METEOR of every text.

        Raises:
            NotFoundError: Java or the jar is missing or fails.
        """
        return self._run(predictions, references, {"all": range(len(predictions))})["all"][:-1]

    def _run(
        self,
        predictions: Sequence[str],
        references: Sequence[Sequence[str]],
        parts: Mapping[str, Sequence[int]],
    ) -> dict[str, list[float]]:
        """Of each part the figures of its texts, and then its own."""
        if reason := self.unavailable():
            raise NotFoundError(reason)
        lines = [
            _SEPARATOR.join(("SCORE", *map(self._tokenized, (*dict.fromkeys(present(group)), prediction))))
            for prediction, group in zip(predictions, references, strict=True)
        ]
        try:
            return _run_jar(lines, parts)
        except (OSError, ValueError) as fault:
            raise NotFoundError(f"METEOR 1.5 failed: {reason_of(fault)}") from fault

    def _tokenized(self, text: str) -> str:
        """One line, whatever line ends the text holds, and without the jar's separator."""
        text = text.replace("|||", "")
        return " ".join(ptb.ptb_tokens(text) if self.ptb else text.split())


def find_jar() -> Path | None:
    """meteor-1.5.jar of the installed pycocoevalcap, with its paraphrase table; None where there is none."""
    spec = importlib.util.find_spec("pycocoevalcap")
    for folder in (spec.submodule_search_locations if spec else None) or ():
        jar = Path(folder) / "meteor" / "meteor-1.5.jar"
        if jar.is_file() and (jar.parent / "data" / "paraphrase-en.gz").is_file():
            return jar
    return None


class _Jar:
    """The running program. It ends with this process, or when it is not asked for a minute: it holds 0.6 GB."""

    def __init__(self, java: str, jar: Path) -> None:
        # A locale with a decimal comma, or one that is not UTF-8, must not change the figure.
        locale = ["-Dfile.encoding=UTF-8", "-Duser.language=en", "-Duser.country=US"]
        options = ["-Xmx2G", "-XX:+UseSerialGC", *locale]  # that collector: half the memory
        command = [java, *options, "-jar", str(jar), "-", "-", "-stdio", "-l", "en", "-norm"]
        pipe = subprocess.PIPE
        with contextlib.ExitStack() as opened:
            self._complaints = opened.enter_context(
                tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
            )
            self._program = opened.enter_context(
                subprocess.Popen(command, encoding="utf-8", stdin=pipe, stdout=pipe, stderr=self._complaints)
            )
            opened.callback(self._program.kill)
            self._open = opened.pop_all()
        self._idle = threading.Timer(0, self._close_idle)
        atexit.register(self.close)

    def runs(self) -> bool:
        """Whether it can still be asked."""
        return self._program.poll() is None

    def close(self) -> None:
        """End the program."""
        self._idle.cancel()
        with contextlib.suppress(OSError):  # what it was not told any more
            self._open.close()
        atexit.unregister(self.close)

    def figures(self, lines: Sequence[str], parts: Mapping[str, Sequence[int]]) -> dict[str, list[float]]:
        """Each line -> its sufficient statistics; of each part, the figures of its lines, and then its own."""
        self._idle.cancel()
        figures: dict[str, list[float]] = {}
        try:
            statistics = [self._ask(line) for line in lines]
            for part, positions in parts.items():
                first = self._ask(_SEPARATOR.join(("EVAL", *(statistics[i] for i in positions))))
                figures[part] = [float(line) for line in (first, *(self._line() for _ in positions))]
        except (OSError, ValueError):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._program.wait(1)
            self._complaints.seek(0)
            reason = " ".join(self._complaints.read().split())
            raise ValueError(reason or "the Java program ended early") from None
        finally:
            if len(figures) < len(parts):  # what it says next would belong to this question
                self.close()
        self._idle = threading.Timer(_IDLE_SECONDS, self._close_idle)
        self._idle.daemon = True
        self._idle.start()
        return figures

    def _close_idle(self) -> None:
        with _LOCK:
            self.close()

    def _ask(self, line: str) -> str:
        """One line goes out before one comes in: pipes hold little, and both sides would wait for ever."""
        if self._program.stdin is None:
            raise OSError("no pipe to the Java program")
        self._program.stdin.write(f"{line}\n")
        self._program.stdin.flush()
        return self._line().strip()

    def _line(self) -> str:
        if self._program.stdout is None:
            raise OSError("no pipe from the Java program")
        return self._program.stdout.readline()


@cache
def _started(java: str, jar: Path) -> _Jar:
    return _Jar(java, jar)


def _run_jar(lines: Sequence[str], parts: Mapping[str, Sequence[int]]) -> dict[str, list[float]]:
    java, jar = shutil.which("java"), find_jar()
    if java is None or jar is None:
        raise OSError("Java or the jar is gone")
    with _LOCK:
        if not _started(java, jar).runs():
            _started.cache_clear()
        return _started(java, jar).figures(lines, parts)
