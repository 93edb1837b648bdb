"""Record anew what the program computes today: all groups, or those named.

    python -m tests.links.make_same_numbers [GROUP...]

Only a commit that says why its numbers are other ones may do so. The groups "kept" and "unfinished" are about folders
that an earlier program wrote: they are recorded only when they are named, and the folders are made only where there are
none.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch
os.environ["HF_HUB_OFFLINE"] = "1"

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.support.same_numbers.cases import GROUPS, RECORDS
from tests.support.same_numbers.facts import machine
from tests.support.same_numbers.kept import KEPT, make_kept
from tests.support.same_numbers.place import Place


def main() -> None:
    """Write a file for each group."""
    names = sys.argv[1:] or [name for name in GROUPS if name not in ("kept", "unfinished")]
    if unknown := set(names) - GROUPS.keys():
        sys.exit(f"no group {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        if "kept" in names and not KEPT.is_dir():
            make_kept(Place(Path(folder) / "first"))
        for name in names:
            cases = {case: make(place).record() for case, make in GROUPS[name].items()}
            write_record(RECORDS / f"{name}.json", cases)
            print(f"{name}: {len(cases)} cases")


def write_record(path: Path, cases: dict[str, Any]) -> None:
    """JSON with a line for every value, so that a change shows what changed."""
    lines = ["{", f'"machine": {json.dumps(machine())},', '"cases": {']
    for i, (name, record) in enumerate(cases.items()):
        tolerance, *kinds = record.items()
        lines += [f" {json.dumps(name)}: {{", f'  "tolerance": {tolerance[1]},']
        for j, (kind, entries) in enumerate(kinds):
            lines.append(f"  {json.dumps(kind)}: {{")
            inner = [f"   {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in entries.items()]
            lines += [*[f"{line}," for line in inner[:-1]], *inner[-1:]]
            lines.append("  }" + "," * (j + 1 < len(kinds)))
        lines.append(" }" + "," * (i + 1 < len(cases)))
    path.write_text("\n".join([*lines, "}", "}"]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
