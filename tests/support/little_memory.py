"""Train a family in a process whose memory ends soon after its training has begun: what is told, as JSON.

    python -m tests.support.little_memory FOLDER MEGABYTES

FOLDER holds recipe.toml; the runs go to FOLDER/tight/seed-N.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import torch

from lorafit.run.events import Event, Note, OfMember, Started
from lorafit.run.plan import load_plan
from lorafit.sweep.family import FamilyOptions, Job, train_family
from lorafit.training import ProcessGroup

NUM_MEMBERS = 4


def main(folder: Path, megabytes: int) -> None:
    """Train the members, all at once if they fit."""
    said: list[str] = []

    def report(event: Event) -> None:
        inner = event.event if isinstance(event, OfMember) else event
        match inner:
            case Note(text):
                said.append(text)
            case Started():
                used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
                resource.setrlimit(resource.RLIMIT_AS, (used + (megabytes << 20), resource.RLIM_INFINITY))

    jobs = [
        Job(
            f"seed {seed}",
            load_plan(folder / "recipe.toml", [f"train.seed={seed}"]),
            folder / "tight" / f"seed-{seed}",
        )
        for seed in range(NUM_MEMBERS)
    ]
    train_family(jobs, FamilyOptions(at_once=NUM_MEMBERS), report, ProcessGroup())
    print(json.dumps(said))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), int(sys.argv[2]))
