"""Write the recipes of the paper's tables: one complete, commented file for each cell.

    python scripts/make_recipes.py [--output recipes] [--check]

The rows, tasks and values are in recipe_grid_glue.py and recipe_grid_nlg.py, the published figures in
lorafit/reports/paper.py. `quickstart.toml` is written by hand and left alone. With --check nothing is written, and the
exit code is 1 where a file is not what would be written.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import recipe_grid_glue
import recipe_grid_nlg
from recipe_sheet import Sheet

ROOT = Path(__file__).resolve().parents[1]
BY_HAND = {"quickstart.toml"}


def all_sheets() -> list[Sheet]:
    """Every generated recipe."""
    return [*recipe_grid_glue.sheets(), *recipe_grid_nlg.sheets()]


def texts() -> dict[str, str]:
    """File name -> contents."""
    return {f"{sheet.name}.toml": sheet.text() for sheet in all_sheets()}


def differences(folder: Path) -> list[str]:
    """What is not as it should be in a folder of recipes, one line a file."""
    made = texts()
    there = {path.name for path in folder.glob("*.toml")} - BY_HAND
    lines = [f"{folder / name}: nobody makes this file" for name in sorted(there - made.keys())]
    for name, text in made.items():
        path = folder / name
        if not path.is_file():
            lines.append(f"{path}: missing")
        elif path.read_text(encoding="utf-8") != text:
            lines.append(f"{path}: differs")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "recipes")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    if arguments.check:
        lines = differences(arguments.output)
        print("\n".join(lines) or "all recipes are as they should be")
        return 1 if lines else 0
    arguments.output.mkdir(parents=True, exist_ok=True)
    made = texts()
    for name, text in made.items():
        (arguments.output / name).write_text(text, encoding="utf-8")
    print(f"wrote {len(made)} recipes into {arguments.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
