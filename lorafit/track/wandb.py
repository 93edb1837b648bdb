"""Weights & Biases: one run there for each run folder, online or in files that `wandb sync` sends later."""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from typing_extensions import override

from lorafit.errors import LorafitError, RunCommand, SetKey
from lorafit.track.base import Figures, Moment, TrackedRun, Tracker

if TYPE_CHECKING:
    import wandb

_PATIENCE_S = 30.0  # to begin, and to send the rest at the end


@dataclass(frozen=True)
class _Sent:
    """What has been handed over, by all processes that have worked on the run. The file is written before the numbers
    are: after a crash one moment may be missing there, and none is there twice."""

    id: str
    rows: int = 0
    step: int = -1
    kind: int = 0

    @staticmethod
    def of(path: Path) -> _Sent:
        try:
            return _Sent(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return _Sent(uuid.uuid4().hex[:12])

    def has(self, moment: Moment) -> bool:
        return moment <= Moment(self.step, self.kind)


class WandB(Tracker):
    """Numbers only: no code, no machine, no console, and no error reports are sent."""

    name: ClassVar[str] = "wandb"
    extra: ClassVar[str] = "wandb"

    def __init__(self, run: wandb.Run, path: Path, sent: _Sent) -> None:
        self._run, self._path, self._sent = run, path, sent

    @classmethod
    @override
    def open(cls, run: TrackedRun) -> Self:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # read when it is imported
        import wandb

        mode = "offline" if run.offline else os.environ.get("WANDB_MODE", "online")
        wandb.setup(settings=wandb.Settings(silent=True))
        if mode == "online" and not wandb.login(prompt=False):
            raise LorafitError(
                "nobody is logged in there", RunCommand("wandb login"), SetKey("track.offline", True)
            )
        path = run.folder / f"{cls.name}.json"
        sent = _Sent.of(path)
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
        return cls(made, path, sent)

    @override
    def log(self, figures: Figures) -> None:
        if self._sent.has(figures.moment):
            return
        row = self._sent.rows
        self._sent = replace(self._sent, rows=row + 1, **asdict(figures.moment))
        self._path.write_text(json.dumps(asdict(self._sent)), encoding="utf-8")
        self._run.log({"step": figures.moment.step, **figures.values}, step=row)

    @override
    def close(self) -> None:
        self._run.finish()


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
