"""What was fetched into the caches."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.markup import escape

from lorafit.display.display import Display

if TYPE_CHECKING:
    from lorafit.verbs.prefetch import PrefetchResult


def show_prefetch(display: Display, result: PrefetchResult) -> None:
    """Every base and split, and the lock that records them."""
    if display.json:
        display.print_json({"lock": str(result.lock_path), "checked": result.checked, **asdict(result.found)})
        return
    for name, base in result.found.bases.items():
        revision = f"revision {base.revision[:12]}, " if base.revision else ""
        display.print(f"{escape(name)}: {revision}weights {base.weights_hash[:12]}")
    for name, splits in result.found.data.items():
        for split, entry in splits.items():
            display.print(f"{name}, {split} split: {entry.rows:,} rows, {entry.sha256[:12]}")
    lock = escape(str(result.lock_path))
    display.print(f"everything is here and as {lock} says" if result.checked else f"recorded in {lock}")
