"""Texts that options take: durations, sizes, lists of seeds and names. Every function raises RecipeError."""

from __future__ import annotations

import re

from lorafit.errors import RecipeError

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def parse_duration(option: str, text: str) -> float:
    """Seconds: '90', '90s', '15m', '1.5h', '2d', '30:00' (minutes), '1:30:00'."""
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip()):
        return float(match[1]) * _SECONDS[match[2]]
    if match := re.fullmatch(r"(?:(\d+):)?(\d+):(\d\d)", text.strip()):
        hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return float(hours * 3600 + minutes * 60 + seconds)
    raise RecipeError(f"{option} {text}: must be a time such as 90s, 15m, 1.5h or 1:30:00")


def parse_size(option: str, text: str) -> int:
    """'5GB' -> 5000000000."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", text.strip())
    if not match or match[2].upper() not in _BYTES or float(match[1]) == 0:
        raise RecipeError(f"{option} {text}: must be a size such as 500MB or 5GB")
    return int(float(match[1]) * _BYTES[match[2].upper()])


def parse_names(text: str | None) -> tuple[str, ...]:
    """'rte, mrpc' -> ('rte', 'mrpc')."""
    return tuple(name.strip() for name in text.split(",") if name.strip()) if text else ()


def parse_seeds(option: str, text: str) -> tuple[int, ...]:
    """'0,1,2' -> (0, 1, 2). A seed must not be there twice."""
    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdigit() for word in words):
        raise RecipeError(f"{option} {text}: must be whole numbers with commas between, such as 0,1,2")
    seeds = tuple(int(word) for word in words)
    if len(set(seeds)) < len(seeds):
        raise RecipeError(f"{option} {text}: names a seed twice")
    return seeds


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
