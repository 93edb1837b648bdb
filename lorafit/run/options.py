"""How a run begins, which the caller decides and not the recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Resume = Literal["auto", "must", "never"]
"""auto: continue an unfinished run, else start. must: there has to be one to continue. never: start over."""


@dataclass(frozen=True)
class TrainOptions:
    """`extend` allows a recipe that is longer than that of the run in the folder, finished or not."""

    resume: Resume = "auto"
    extend: bool = False
