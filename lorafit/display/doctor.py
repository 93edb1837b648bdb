"""What a machine has for lorafit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.markup import escape

from lorafit.display.display import Display

if TYPE_CHECKING:
    from lorafit.verbs.doctor import Finding


def show_findings(display: Display, findings: Iterable[Finding]) -> None:
    """A line for each, as it is found; by parts."""
    if display.json:
        parts: dict[str, dict[str, object]] = {}
        for each in findings:
            known = {"value": each.value, "ok": each.ok, "cure": each.cure or None}
            parts.setdefault(each.part, {})[each.name] = known
        display.print_json(parts)
        return
    part = ""
    for each in findings:
        if each.part != part:
            part = each.part
            display.print(f"\n{part}", style="bold")
        sign, style = ("ok", "green") if each.ok else ("--", "yellow")
        cure = f"; {each.cure}" if each.cure else ""
        display.print(f"  [{style}]{sign}[/] {escape(f'{each.name}: {each.value}{cure}')}")
