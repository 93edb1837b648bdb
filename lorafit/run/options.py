"""How a run begins, which the caller decides and not the recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Resume = Literal["auto", "must", "never"]
"""auto: continue an unfinished run, else start. must: there has to be one to continue. never: start over."""


@dataclass(frozen=True)
class TrainOptions:
    """`extend` allows a recipe that is longer than that of the run in the folder, finished or not. `show_anyway` shows
    the result of a finished run although its data, base or start have changed since."""

    resume: Resume = "auto"
    extend: bool = False
    show_anyway: bool = False
