"""The training step is the original one: same losses, same adapter, from the same start on the same rows."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from lorafit.data.encoding.encode import EncodedPair
from lorafit.methods import LoRA
from lorafit.models import take_packed_rows
from lorafit.objectives import BaseFacts, Settings, objective_for
from lorafit.recipe import DataSection, DecodeSection, EvalSection
from lorafit.tasks import make_task
from lorafit.training import (
    AdamW,
    Member,
    Position,
    ProcessGroup,
    Schedule,
    Stepped,
    Steps,
    fit,
    parameter_groups,
)
from tests.support.paper_reference import PAPER_DIR, formula_weight, paper_base, training_record


@pytest.mark.parametrize("micro_batch_size", [8, 3])
def test_losses_and_adapter_equal_the_original(micro_batch_size: int) -> None:
    record = training_record()
    shape = record["cfg"]
    model = paper_base()
    LoRA(r=shape["r"], alpha=shape["alpha"], dropout=0.0).attach(model)
    trained = model.trained()
    with torch.no_grad():
        for name, parameter in trained.items():
            index = record["names"].index(name) + record["seed_offset"]
            parameter.copy_(formula_weight(name, index, parameter.shape))
    take_packed_rows(model.net)

    rows = [json.loads(line) for line in (PAPER_DIR / "encoded.jsonl").read_text().splitlines()]
    examples = [EncodedPair(tuple(row["context"]), tuple(row["completion"])) for row in rows]
    size = record["batch"]

    first = record["first_row"]
    order = [range(first + size * step, first + size * (step + 1)) for step in range(record["steps"])]

    groups = parameter_groups(trained, model.net, record["weight_decay"], "none")
    optimizer = AdamW(groups, lr=record["lr"], betas=tuple(record["betas"]), eps=record["eps"])
    schedule = Schedule(record["steps"], record["warmup"], record["lr"])
    model.net.train()
    member = Member(
        trained,
        optimizer,
        schedule,
        Steps(lambda _: order, examples, len(order)),
        Position(micro_batch_size=micro_batch_size),
        label_smoothing=shape["label_smooth"],
    )
    facts = BaseFacts(model.net.config, model.family)
    objective = objective_for(
        make_task("e2e"), facts, Settings(DataSection(), DecodeSection(), EvalSection())
    )
    events = fit(model, [member], objective, ProcessGroup())
    losses = [event.loss for event in events if isinstance(event, Stepped)]

    assert losses == pytest.approx(record["losses"], rel=1e-5)
    for name, theirs in load_file(PAPER_DIR / "trained_adapter.safetensors").items():
        ours = trained[name].detach()
        assert (ours - theirs).norm() <= 1e-3 * theirs.norm(), name
