"""Is this adapter intact, does its base fit, and does it compute what the trained model computed?"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from lorafit.adapters import (
    Adapter,
    Agreement,
    check_answers,
    check_base,
    read_adapter,
    restore,
    where_base,
)
from lorafit.adapters.restore import check_tensors, method_of, model_config, task_of
from lorafit.errors import AdapterError, Remedy
from lorafit.models import skeleton


@dataclass(frozen=True)
class VerifyResult:
    """`verdict`: ok, wrong base, wrong alpha or r, adapter not applied, corrupted file, or does not fit.

    `detail` says which and where, `remedies` what helps; `difference` is the largest from the recorded answers,
    `tolerance` what is allowed.
    """

    adapter: Path
    verdict: str
    detail: str
    difference: float | None = None
    tolerance: float | None = None
    notes: list[str] = field(default_factory=list)
    remedies: tuple[Remedy, ...] = ()

    @property
    def ok(self) -> bool:
        return self.verdict == "ok"


def verify(folder: Path, base: str | None = None) -> VerifyResult:
    """Check the files, the base's identity, and the recorded answers, in this order; the first fault is the verdict.

    Raises NotFoundError where there is no adapter folder or no base to check it on.
    """
    try:
        adapter = read_adapter(folder)
        agreement = _agreement(adapter, base)
    except AdapterError as error:
        return VerifyResult(folder, error.verdict, error.message, remedies=error.remedies)
    notes = _unchecked(adapter)
    if agreement is None:
        return VerifyResult(folder, "ok", "every file is intact, and every tensor has its place", notes=notes)
    if agreement.effect is not None and agreement.effect <= 4 * agreement.tolerance:
        notes.append(
            f"the adapter changes the recorded answers so little ({agreement.effect:.3g}) that they prove little"
        )
    difference, allowed = agreement.difference, agreement.tolerance
    detail = f"the model gives the recorded answers (difference {difference:.2g}, allowed {allowed:.2g})"
    return VerifyResult(folder, "ok", detail, difference, allowed, notes)


def _agreement(adapter: Adapter, base: str | None) -> Agreement | None:
    """Does the model give the recorded answers? None where none are recorded.

    An adapter that was imported without weights is compared with the shape of its base alone.
    """
    check_base(adapter, base=base)
    if adapter.card.base.weights_hash is not None:
        return check_answers(adapter, restore(adapter, base=base))
    shape = skeleton(model_config(adapter, *where_base(adapter, base)), task_of(adapter).output)
    method_of(adapter).attach_finished(shape)
    check_tensors(adapter, shape)
    return None


def _unchecked(adapter: Adapter) -> list[str]:
    """What could not be checked because the adapter does not record it."""
    notes = []
    if adapter.card.base.weights_hash is None:
        notes.append(
            "the weights of the base are not recorded (the adapter was imported without them), so they are not checked"
        )
    if adapter.fingerprint is None:
        notes.append(
            "no answers are recorded (the adapter was imported without weights), so alpha is not checked"
        )
    return notes
