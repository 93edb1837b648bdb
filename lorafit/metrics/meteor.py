"""METEOR 1.5 (Denkowski and Lavie 2014), 0 to 1, by the original Java program, which has no equal."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from lorafit.metrics import ptb
from lorafit.metrics.score import Kind, Metric, Score, present

_SEPARATOR = " ||| "


@dataclass(frozen=True)
class Meteor(Metric):
    """meteor-1.5.jar with `-l en -norm`; the jar comes with pycocoevalcap.

    Starting it takes some 10 s (a paraphrase table of 62 MB), so all parts of a corpus go through one run.
    """

    kind: ClassVar[Kind] = "text"
    keys: ClassVar[tuple[str, ...]] = ("meteor",)

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
        reason = self.unavailable() or ""
        values: Mapping[str, float | None] = dict.fromkeys(parts)
        if not reason:
            lines = [
                _SEPARATOR.join(
                    ("SCORE", *map(self._tokenized, (*dict.fromkeys(present(group)), prediction)))
                )
                for prediction, group in zip(predictions, references, strict=True)
            ]
            try:
                values = _run_jar(lines, parts)
            except (OSError, ValueError) as fault:
                reason = f"METEOR 1.5 failed: {fault}"
        signature = f"nrefs:var|tok:{ptb.SIGNATURE if self.ptb else 'none'}|lang:en|norm:yes|jar:1.5"
        return {part: [Score("meteor", value, signature, reason)] for part, value in values.items()}

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


def _run_jar(lines: Sequence[str], parts: Mapping[str, Sequence[int]]) -> dict[str, float | None]:
    """Each line -> its sufficient statistics; the statistics of each part -> its score.

    One line goes out before one comes in: pipes hold little, and both sides would wait for ever.
    """
    # A locale with a decimal comma, or one that is not UTF-8, must not change the figure.
    locale = ["-Dfile.encoding=UTF-8", "-Duser.language=en", "-Duser.country=US"]
    java = ["java", "-Xmx2G", "-XX:+UseSerialGC", *locale]  # that collector: half the memory
    command = [*java, "-jar", str(find_jar()), "-", "-", "-stdio", "-l", "en", "-norm"]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": complaints}
        try:
            with subprocess.Popen(command, encoding="utf-8", **pipes) as jar:
                return _converse(jar, lines, parts)
        except (OSError, ValueError):
            complaints.seek(0)
            reason = " ".join(complaints.read().split())
            raise ValueError(reason or "the Java program ended early") from None


def _converse(
    jar: subprocess.Popen[str], lines: Sequence[str], parts: Mapping[str, Sequence[int]]
) -> dict[str, float | None]:
    statistics = [_ask(jar, line) for line in lines]
    values: dict[str, float | None] = {}
    for part, positions in parts.items():
        scores = [_ask(jar, _SEPARATOR.join(("EVAL", *(statistics[i] for i in positions))))]
        assert jar.stdout is not None
        scores += [jar.stdout.readline() for _ in positions]
        values[part] = float(scores[-1])  # after those of its segments
    return values


def _ask(jar: subprocess.Popen[str], line: str) -> str:
    assert jar.stdin is not None
    assert jar.stdout is not None
    jar.stdin.write(f"{line}\n")
    jar.stdin.flush()
    return jar.stdout.readline().strip()
