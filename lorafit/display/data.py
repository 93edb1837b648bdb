"""Data files and rows."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from lorafit.display.display import Display
from lorafit.format import age, size

if TYPE_CHECKING:
    from lorafit.cache import Entry
    from lorafit.data.download import FetchedFile
    from lorafit.verbs.inspect import ShowResult
    from lorafit.verbs.originals import VerifiedFile


def show_fetched(display: Display, files: Sequence[FetchedFile]) -> None:
    """Where each file is now."""
    if display.json:
        display.print_json(
            [{"path": str(f.path), "bytes": f.num_bytes, "downloaded": f.fresh} for f in files]
        )
        return
    for file in files:
        how = "downloaded" if file.fresh else "here already"
        display.print(f"{escape(str(file.path))}: {how}, verified ({size(file.num_bytes)})")


def show_verified(display: Display, files: Sequence[VerifiedFile]) -> None:
    """Which originals a folder holds."""
    if display.json:
        display.print_json(
            [{"data": f.data_set, "split": f.split, "path": str(f.path), "status": f.status} for f in files]
        )
        return
    present = {file.data_set for file in files if file.status == "original"}
    for file in files:
        if file.data_set in present:
            display.print(f"{escape(str(file.path))}: {file.status}")
    others = [name for name in dict.fromkeys(f.data_set for f in files) if name not in present]
    if others:
        display.print(f"no files of: {', '.join(others)}")


def show_cache(
    display: Display, folder: Path, entries: Sequence[Entry], max_bytes: int, *, cleared: bool
) -> None:
    """What is kept of data files, or was until now, with its size and age."""
    total = sum(entry.num_bytes for entry in entries)
    if display.json:
        known = [{**asdict(entry), "path": str(entry.path)} for entry in entries]
        display.print_json(
            {
                "folder": str(folder),
                "max_bytes": max_bytes,
                "bytes": total,
                "cleared": cleared,
                "entries": known,
            }
        )
        return
    bound = f"of at most {size(max_bytes)}" if max_bytes else "and no more is kept (LORAFIT_CACHE_GB is 0)"
    how = f"cleared {size(total)}" if cleared else f"{size(total)} {bound}"
    display.print(f"{escape(str(folder))}: {len(entries)} entr{'y' if len(entries) == 1 else 'ies'}, {how}")
    if not entries or cleared:
        return
    table = Table("kind", "size", "age", "last used", "of", box=None, header_style="bold")
    now = time.time()
    for entry in entries:
        ages = (age(max(now - since, 0)) for since in (entry.made, entry.used))
        table.add_row(entry.kind, size(entry.num_bytes), *ages, escape(entry.of))
    display.print(table)


def show_rows(display: Display, result: ShowResult) -> None:
    """Rows (as JSON, one object on each line), then lengths."""
    for number, row in enumerate(result.rows, start=1):
        if display.json:
            sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
        else:
            show_row(display, number, row)
    table = Table("tokens", "mean", "median", "longest", box=None, header_style="bold")
    for lengths in result.lengths:
        table.add_row(
            escape(lengths.what), f"{lengths.mean:.1f}", f"{lengths.median:g}", str(lengths.longest)
        )
    num_rows = f"{result.num_rows:,} row{'s' * (result.num_rows != 1)}"
    different = f", {result.num_items:,} different prompts" if result.num_items < result.num_rows else ""
    display.print(f"{result.split}: {num_rows}{different}")
    for note in result.notes:
        display.print(escape(note))
    display.print(table)


def _show_pieces(display: Display, pieces: Sequence[Mapping[str, Any]]) -> None:
    """A text with what is learned of it in bold, and between bars, for terminals without."""
    shown = [f"[bold]⟦{escape(p['text'])}⟧[/bold]" if p["learned"] else escape(p["text"]) for p in pieces]
    display.print("".join(shown))
    display.print("(bold, between ⟦ and ⟧: what is learned)\n", style="dim")


def show_row(display: Display, number: int, row: Mapping[str, Any]) -> None:
    part = f", {escape(row['part'])}" if "part" in row else ""
    head = f"row {number}{part}: {len(row['input_ids'])} input tokens"
    if "target_mask" not in row:
        display.print(head)
        for name, value in row.items():
            shown = " ".join(map(str, value)) if isinstance(value, list) else str(value)
            display.print(f"  {escape(f'{name:<14}{shown}')}")
        return
    num_targets = sum(row["target_mask"])
    display.print(f"{head}, {num_targets} of the next ones are targets")
    if "pieces" in row:
        _show_pieces(display, row["pieces"])
        return
    display.print(f"  context     {escape(row['context'])}")
    display.print(f"  completion  {escape(row['completion'])}", style="bold")
    first = row["input_ids"][0]
    ids = [
        f"[bold]{token}[/bold]" if is_target else str(token)
        for token, is_target in zip(row["target_ids"], row["target_mask"], strict=True)
    ]
    boundary = len(ids) - num_targets
    display.print(f"  ids         {' '.join([str(first), *ids[:boundary], '|', *ids[boundary:]])}")
    display.print("  (bold, after the bar: the targets)\n", style="dim")
