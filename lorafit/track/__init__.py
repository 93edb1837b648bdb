"""Trackers: other programs that show a run's numbers as they come. TRACKERS has them by name.

To add one, write its file, and its class into TRACKERS.
"""

from lorafit.track.base import Figures, TrackedRun, Tracker, figures
from lorafit.track.feed import Feed
from lorafit.track.tensorboard import TensorBoard
from lorafit.track.wandb import WandB

TRACKERS: dict[str, type[Tracker]] = {tracker.name: tracker for tracker in (TensorBoard, WandB)}

__all__ = ["TRACKERS", "Feed", "Figures", "TrackedRun", "Tracker", "figures"]
