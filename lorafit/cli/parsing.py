"""Texts that options take: durations, sizes, lists of seeds and names. Every function raises RecipeError."""

from __future__ import annotations

import re

from lorafit.errors import RecipeError
from lorafit.recipe.bounds import SEED

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST_S = 10 * 365 * 86400
_MOST_BYTES = 10**15
_MOST_SEEDS = 1000
_BYTES = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def parse_duration(option: str, text: str) -> float:
    """Seconds: '90', '90s', '15m', '1.5h', '2d', '30:00' (minutes), '1:30:00'."""
    seconds = None
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip(), re.ASCII):
        seconds = float(match[1]) * _SECONDS[match[2]]
    elif match := re.fullmatch(r"(?:(\d{1,6}):([0-5]\d)|(\d{1,6})):([0-5]\d)", text.strip(), re.ASCII):
        hours, minutes = int(match[1] or 0), int(match[2] or match[3])
        seconds = float(hours * 3600 + minutes * 60 + int(match[4]))
    if seconds is None:
        raise RecipeError(f"{option} {text}: must be a time such as 90s, 15m, 1.5h or 1:30:00")
    if seconds > _LONGEST_S:
        raise RecipeError(f"{option} {text[:40]}: must be at most ten years")
    return seconds


def parse_size(option: str, text: str) -> int:
    """'5GB' -> 5000000000."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", text.strip(), re.ASCII)
    size = float(match[1]) * _BYTES.get(match[2].upper(), 0) if match else 0.0
    if not 1 <= size <= _MOST_BYTES:
        raise RecipeError(f"{option} {text[:40]}: must be a size such as 500MB or 5GB, at most 1,000,000GB")
    return int(size)


def parse_weighted(text: str) -> tuple[str, float]:
    """'runs/a:0.7' -> ('runs/a', 0.7); without a number behind a colon, all of it is the name."""
    name, _, number = text.rpartition(":")
    try:
        return (name, float(number)) if name else (text, 1.0)
    except ValueError:
        return text, 1.0


def parse_names(text: str | None) -> tuple[str, ...]:
    """'rte, mrpc' -> ('rte', 'mrpc')."""
    return tuple(name.strip() for name in text.split(",") if name.strip()) if text else ()


def parse_seeds(option: str, text: str) -> tuple[int, ...]:
    """'0,1,2' -> (0, 1, 2); '0..9' has all ten. A seed must not be there twice."""
    seeds: list[int] = []
    for word in text.split(","):
        ends = re.fullmatch(r"(\d+)(?:\.\.(\d+))?", word.strip(), re.ASCII)
        if ends is None:
            raise RecipeError(
                f"{option} {text}: must be whole numbers with commas between, such as 0,1,2, or a range such as 0..9"
            )
        for number in ends.groups():
            if number is not None and len(number) > len(str(SEED.limit)):
                raise RecipeError(f"{option} {number[:40]}: must be at most {SEED.limit} ({SEED.why})")
        first, last = int(ends[1]), int(ends[2] or ends[1])
        if not 0 <= last - first < _MOST_SEEDS:
            raise RecipeError(
                f"{option} {word.strip()}: must begin with the smaller number, and name at most {_MOST_SEEDS:,}"
            )
        seeds += range(first, last + 1)
    if len(set(seeds)) < len(seeds):
        raise RecipeError(f"{option} {text}: names a seed twice")
    return tuple(seeds)


def parse_length(option: str, text: str) -> str:
    """'epochs=40' -> 'train.epochs=40'."""
    if text.partition("=")[0].strip() not in ("epochs", "max_steps"):
        raise RecipeError(f"{option} {text}: must read epochs=N or max_steps=N")
    return f"train.{text.strip()}"


def parse_table(text: str) -> str:
    """'table2', 'Table 2' or '2' -> '2'."""
    return text.lower().removeprefix("table").strip()


def parse_cell(option: str, text: str) -> tuple[str, str]:
    """'GPT-2 M (LoRA)/e2e' -> ('GPT-2 M (LoRA)', 'e2e')."""
    row, slash, task = text.rpartition("/")
    if not slash:
        raise RecipeError(f"{option} {text}: must read ROW/TASK, such as 'GPT-2 M (LoRA)/e2e'")
    return row.strip(), task.strip()
