"""Does bfloat16 cost quality? The scores of a recipe in float32 and in bfloat16, over several seeds.

    python scripts/bench/quality.py [RECIPE] [--seeds 0,1,2] [--write] [-- any other option of `lorafit sweep`]

The table is that of `lorafit sweep RECIPE --grid model.dtype=float32,bfloat16`: means over the seeds with their
intervals, and what is within noise of the best. A processor without products in 16 bits gives the same numbers, slowly.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from results import recorded


def main() -> None:
    """Run the sweep, and print what it answers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", nargs="?", default="quickstart")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("others", nargs="*", help="further options of `lorafit sweep`, behind --")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lorafit-quality-") as folder:
        command = [sys.executable, "-m", "lorafit", "sweep", args.recipe, "--seeds", args.seeds, "--quiet"]
        command += ["--grid", "model.dtype=float32,bfloat16", "--output", str(Path(folder) / "sweep")]
        done = subprocess.run([*command, *args.others], stdout=subprocess.PIPE, text=True, check=True)
    print(done.stdout.replace(folder, "OUTPUT").strip())


if __name__ == "__main__":
    recorded(main)
