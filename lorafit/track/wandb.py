"""Weights & Biases: one run there for each run folder, online or in files that `wandb sync` sends later."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from typing_extensions import override

from lorafit.errors import LorafitError, RunCommand, SetKey
from lorafit.track.base import Figures, TrackedRun, Tracker

if TYPE_CHECKING:
    import wandb

_PATIENCE_S = 30.0  # to begin, and to send the rest at the end


@dataclass(frozen=True)
class _Sent:
    """The id of the run there, and how many rows it has been given by all processes that have worked on it."""

    id: str
    rows: int = 0

    @staticmethod
    def of(path: Path) -> _Sent:
        """As the file says; of a new run where there is none."""
        try:
            return _Sent(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return _Sent(uuid.uuid4().hex[:12])


class WandB(Tracker):
    """Numbers only: no code, no machine, no console, and no error reports are sent."""

    name: ClassVar[str] = "wandb"
    extra: ClassVar[str] = "wandb"

    def __init__(self, run: wandb.Run, path: Path, sent: _Sent, first: int) -> None:
        self._run, self._path, self._sent = run, path, sent
        self._first, self._row = (
            first,
            0,
        )  # rows are counted from the beginning of the run; those before are there

    @classmethod
    @override
    def open(cls, run: TrackedRun) -> Self:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # read when it is imported
        import wandb

        mode = "offline" if run.offline else os.environ.get("WANDB_MODE", "online")
        wandb.setup(settings=wandb.Settings(silent=True))
        if mode == "online" and not wandb.login(prompt=False):
            fault = "nobody is logged in there"
            raise LorafitError(fault, RunCommand("wandb login"), SetKey("track.offline", True))
        path = run.folder / f"{cls.name}.json"
        sent, is_sent = _Sent.of(path), _forget_unsent(run.folder)
        run.folder.mkdir(parents=True, exist_ok=True)
        made = wandb.init(
            project=run.project,
            name=run.name,
            id=sent.id,
            resume="allow" if mode == "online" else None,
            mode="online" if mode == "online" else "offline",
            dir=run.folder,
            config=run.config,
            settings=_settings(wandb.Settings),
        )
        made.define_metric("*", step_metric="step")
        first = made.starting_step if mode == "online" else sent.rows if is_sent else 0
        return cls(made, path, sent, first)

    @override
    def log(self, figures: Figures) -> None:
        row, self._row = self._row, self._row + 1
        if row < self._first:
            return
        self._sent = replace(self._sent, rows=self._row)
        self._path.write_text(json.dumps(asdict(self._sent)), encoding="utf-8")
        self._run.log({"step": figures.moment.step, **figures.values}, step=row)

    @override
    def close(self) -> None:
        self._run.finish()


def _forget_unsent(folder: Path) -> bool:
    """Delete what an offline run has written and nobody has sent yet: a process that was killed has not written all,
    and it is told everything again. Returns whether anything has been sent."""
    folders = list(folder.glob("wandb/*run-*/"))
    unsent = [
        each for each in folders if each.name.startswith("offline-") and not list(each.glob("*.synced"))
    ]
    for each in unsent:
        shutil.rmtree(each, ignore_errors=True)
    return len(unsent) < len(folders)


def _settings(kind: type[wandb.Settings]) -> wandb.Settings:
    return kind(
        silent=True,
        console="off",
        save_code=False,
        disable_code=True,
        disable_git=True,
        disable_job_creation=True,
        x_disable_meta=True,
        x_disable_machine_info=True,
        x_disable_stats=True,
        x_save_requirements=False,
        init_timeout=_PATIENCE_S,
        finish_timeout=_PATIENCE_S,
        finish_timeout_raises=True,
    )
