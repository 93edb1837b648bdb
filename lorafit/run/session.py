"""Everything that a run works with: the base with its rows, then the method on it. Complete once it is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import torch
from huggingface_hub import constants

from lorafit.adapters import AdapterCard
from lorafit.adapters.fingerprint import NUM_INPUTS, answers
from lorafit.adapters.restore import load_tensors
from lorafit.data import Split
from lorafit.data.order import Order
from lorafit.errors import DataError, LorafitError, NotFoundError
from lorafit.imports import import_bitsandbytes
from lorafit.lora import Draws, draw_from
from lorafit.methods import Method
from lorafit.models import Model, load_base, missing_files, quantize
from lorafit.models.files.fetch import fetch_base, weights_at_hand
from lorafit.models.placement import Placement
from lorafit.objectives import AnyObjective, Encoded
from lorafit.objectives.examples import encode_rows
from lorafit.objectives.order import Ordering
from lorafit.recipe import ModelSection, TrainSection
from lorafit.run.arrivals import arrivals
from lorafit.run.events import Note, Report, Working
from lorafit.run.inputs import Inputs
from lorafit.run.plan import Plan, base_config
from lorafit.run.provenance import adapter_card
from lorafit.run.recipes import Recipe
from lorafit.run.warm_start import read_start, warm_start
from lorafit.tasks import Rows
from lorafit.training import (
    Member,
    Position,
    ProcessGroup,
    Schedule,
    Steps,
    check_compiler,
    compile_blocks,
    make_optimizer,
    parameter_groups,
    recompute_activations,
    seed_all,
    shard_frozen,
)


@dataclass(frozen=True)
class FingerprintSample:
    """Inputs, and what the bare base answers to them: an adapter's fingerprint is made of these."""

    inputs: list[list[int]]
    base_answers: torch.Tensor


@dataclass(frozen=True)
class LoadedBase:
    """A base without the method, with the rows of every split and the examples to train and validate on."""

    model: Model
    objective: AnyObjective
    rows: Mapping[Split, Sequence[Any]]
    train: Encoded[Any]
    order: Order
    valid_rows: Sequence[Any]
    valid: Sequence[Any]
    inputs: Inputs
    card: AdapterCard  # of the adapter that will be trained
    sample: FingerprintSample

    def for_member(self, plan: Plan) -> LoadedBase:
        """The same for another plan on this base and these rows: with its own order of examples, objective and card."""
        objective, recipe = plan.objective, plan.recipe
        ordering = Ordering(recipe.train, recipe.data, plan.rows, objective)
        order = ordering.of(self.train)
        inputs = Inputs.of(recipe, plan.rows)
        card = adapter_card(recipe, inputs, self.model.placement.dtype_name)
        return replace(self, objective=objective, order=order, inputs=inputs, card=card)

    def going_on(self, state: Mapping[str, Any]) -> LoadedBase:
        """The same in the number format that a run began with, by the state in its checkpoint."""
        placement = self.model.placement.of_run(state.get("dtype"), state.get("dtype_reason", ""))
        before = self.card.arithmetic
        arithmetic = before and before.model_copy(update={"dtype": placement.dtype_name})
        card = self.card.model_copy(update={"arithmetic": arithmetic})
        return replace(self, model=replace(self.model, placement=placement), card=card)


@dataclass(frozen=True)
class Session:
    """A base with the method on it, and the member that trains."""

    base: LoadedBase
    method: Method
    member: Member[Any]
    group: ProcessGroup


def load(plan: Plan, report: Report) -> LoadedBase:
    """The base, and the rows of every split.

    Raises NotFoundError with a line for everything that is missing or malformed, DataError for a base that is damaged,
    LorafitError where the optimizer's package is not installed, or the compiler that the recipe asks for.
    """
    recipe = plan.recipe
    for warning in plan.warnings:
        report(Note(warning))
    if recipe.train.optimizer != "adamw":
        import_bitsandbytes("optim", "train.optimizer")
    report(Working("reading rows"))
    rows, faults = _read_splits(plan.rows, report)
    if constants.HF_HUB_OFFLINE:
        faults += missing_files(recipe.model.base, recipe.model.revision)
    if faults:
        raise NotFoundError.joined(faults)
    seed_all(recipe.train.seed)
    _fetch_weights(recipe.model, report)
    report(Working("loading the base"))
    with ThreadPoolExecutor(1) as pool:
        hashed = pool.submit(Inputs.of, recipe, plan.rows)  # beside loading: hashes need no interpreter
        model, objective = _load_model(recipe), plan.objective
    if recipe.train.compile:
        check_compiler(model.placement.device)
    for note in model.notes:
        if note not in plan.warnings:
            report(Note(note))
    objective.prepare(model)
    tokenizer = model.require_tokenizer()
    report(Working("encoding rows"))
    examples = encode_rows(objective, tokenizer, rows, recipe.data, plan.scored_split)
    ordering = Ordering(recipe.train, recipe.data, plan.rows, objective)
    order = ordering.of(examples.train)
    for note in (*examples.notes, *order.notes):
        report(Note(note))
    sample = [
        objective.inputs(example) for example in (examples.valid or examples.train.examples)[:NUM_INPUTS]
    ]
    report(Working("hashing"))
    inputs = hashed.result()
    report(Working("preparing"))
    fingerprint = FingerprintSample(sample, answers(model, sample))
    if fingerprint.base_answers.isnan().any():
        raise DataError(
            f"{recipe.model.base}: answers with NaN before anything is trained; its weights are damaged"
        )
    return LoadedBase(
        model,
        objective,
        examples.rows,
        examples.train,
        order,
        examples.valid_rows,
        examples.valid,
        inputs,
        adapter_card(recipe, inputs, model.placement.dtype_name),
        fingerprint,
    )


def attach(
    base: LoadedBase, method: Method, section: TrainSection, schedule: Schedule, group: ProcessGroup
) -> Session:
    """Put the method on the base, place the model on its device, and make the member that trains."""
    draws = Draws(section.seed, group.rank)
    method.attach(base.model, draws.init())
    if section.gradient_checkpointing:
        recompute_activations(base.model.net, draws)
    base.model.placement.place(base.model.net)
    draw_from(base.model.net, draws)
    if section.parallel == "fsdp" and group.size > 1:
        group = group.in_lockstep()
        shard_frozen(base.model.net, group.size, base.model.placement.device)
    member = make_member(base, section, schedule, draws)
    if section.compile:
        compile_blocks(base.model, member, base.objective, group)
    return Session(base, method, member, group)


def make_member(base: LoadedBase, section: TrainSection, schedule: Schedule, draws: Draws) -> Member[Any]:
    """The member that trains what trains in the base's net now."""
    trained = base.model.trained()
    groups = parameter_groups(
        trained, base.model.net, section.weight_decay, section.decay_exempt, section.lora_plus_ratio
    )
    betas = (section.adam_beta1, section.adam_beta2)
    return Member(
        trained,
        make_optimizer(section.optimizer, groups, section.learning_rate, betas, section.adam_epsilon),
        schedule,
        Steps(base.order.batches, base.train.examples, schedule.num_steps),
        Position(micro_batch_size=section.micro_batch_size, oom_retries=section.max_oom_retries),
        section.max_grad_norm,
        section.label_smoothing,
        draws,
    )


def take_start(session: Session, section: TrainSection) -> list[str]:
    """Start from the weights of another adapter: all of them, or all but its head (a warm start). Returns notes.

    Afterwards every process has the leader's values.
    """
    model, group = session.base.model, session.group
    if section.init_from is not None:
        load_tensors(read_start(section.init_from, session.method), model)
    notes = warm_start(session.method, model)
    group.broadcast_tensors(session.member.parameters)
    return notes


def _read_splits(rows: Rows, report: Report) -> tuple[dict[Split, Sequence[Any]], list[LorafitError]]:
    """Every split that the run needs, and the errors of those that cannot be read."""
    found: dict[Split, Sequence[Any]] = {}
    faults: list[LorafitError] = []
    for split in rows.splits_of_run:
        try:
            found[split] = rows.rows(split)
        except (NotFoundError, DataError) as error:
            faults.append(error)
    for note in rows.notes:
        report(Note(note))
    return found, faults


def _fetch_weights(section: ModelSection, report: Report) -> None:
    """Those of a base on the hub, where they are not here. Raises NotFoundError where it gives none."""
    if constants.HF_HUB_OFFLINE or weights_at_hand(section.base, section.revision):
        return
    report(Working(f"fetching {section.base}"))
    with arrivals(section.base, report) as tell:
        fetch_base(section.base, section.revision, tell)


def _load_model(recipe: Recipe) -> Model:
    section, task = recipe.model, recipe.task
    config = base_config(recipe)
    model = load_base(config, section.base, section.revision, task.output, head_seed=recipe.train.seed)
    is_quantized = section.quantize is not None
    placement = Placement.of(section.dtype, model.family.width(config), is_quantized=is_quantized)
    if is_quantized:
        quantize(model)
    return replace(model, placement=placement)
