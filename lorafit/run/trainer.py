"""One run under way: log and show what happens, validate when due, keep the best, checkpoint when due."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lorafit.adapters import read_adapter, record_scores
from lorafit.adapters.fingerprint import NUM_INPUTS, answers
from lorafit.adapters.folder import TENSOR_FILE
from lorafit.adapters.restore import load_tensors
from lorafit.data import Split
from lorafit.errors import DivergedError, InterruptedRunError
from lorafit.files import local_path
from lorafit.lora import Draws, draw_from
from lorafit.models import Model
from lorafit.recipe import Recipe
from lorafit.run.checkpoint import Checkpoint, num_bytes
from lorafit.run.checkpointer import Keeper, Progress, Sample
from lorafit.run.decode_cache import Kept
from lorafit.run.events import Finished, Note, Report, Saved, Scored, Started, Validated
from lorafit.run.folder import EventLog, Found, RunFolder
from lorafit.run.placement import Placement
from lorafit.run.plan import Plan, make_schedule
from lorafit.run.provenance import adapter_card
from lorafit.run.warm_start import warm_start
from lorafit.run.work import Job, evaluate_split, training_of
from lorafit.training import (
    AdamW,
    EpochEnded,
    MemoryRanOut,
    Movement,
    Position,
    Schedule,
    Stepped,
    World,
    all_finite,
    fit,
    parameter_groups,
    recompute_activations,
    shard_frozen,
)


class Run:
    """One run under way."""

    def __init__(
        self,
        plan: Plan,
        folder: RunFolder,
        model: Model,
        examples: dict[Split, list[Any]],
        log: EventLog | None,
        tell: Report,
        world: World,
    ) -> None:
        self.plan, self.folder, self.model, self.examples = plan, folder, model, examples
        self.log, self.tell, self.world = log, tell, world
        self.recipe: Recipe = plan.recipe
        self.scored = plan.task.scored_split
        self.training = training_of(plan.task, model, examples, self.recipe)
        self.placement = Placement.of(self.recipe.model.dtype)
        self.draws = Draws(self.recipe.train.seed, world.rank)

    def carry_out(self, found: Found) -> dict[str, Any]:
        """Score the bare base if asked, train, and score the best adapter. Returns the scores.

        Raises InterruptedRunError when it was asked to stop; a checkpoint is then written.
        """
        inputs = self.training.fingerprint_inputs(NUM_INPUTS)
        sample = Sample(inputs, answers(self.model, inputs))
        card = adapter_card(self.plan.recipe, self.plan.method, self.plan.task)
        self.keeper = Keeper(
            self.folder, self.model, self.plan.method, card, sample, self.draws, self.world, self.tell
        )
        self.schedule = make_schedule(self.recipe, self.training.num_train)
        self.position = Position(
            micro_batch_size=self.recipe.train.micro_batch_size, oom_retries=self.recipe.train.max_oom_retries
        )
        self.progress = Progress(self.schedule.num_steps, weights_hash=card.base.weights_hash or "")
        try:
            self._begin(found)
            self._fit()
            return self._finish()
        except InterruptedRunError as error:
            raise self._interrupted(error) from None

    def _begin(self, found: Found) -> None:
        """Everything up to the first step, or up to where the checkpoint was written."""
        recipe = self.recipe
        self.world.stop_if_asked()
        if recipe.eval.score_base and self.scored in self.examples and found.checkpoint is None:
            self.placement.move(self.model)
            self.progress.base_scores = self._score("base").get("scores")
        self.plan.method.attach(self.model, self.draws.init())
        if found.checkpoint is None:
            self._take_start()
        if recipe.train.gradient_checkpointing:
            recompute_activations(self.model.net, self.draws)
        self.placement.place(self.model)
        draw_from(self.model.net, self.draws)
        self._spread()
        self.optimizer = self._optimizer()
        if found.checkpoint is not None:
            self._resume(found, found.checkpoint)
        elif recipe.eval.score_base:
            self._checkpoint()

    def _take_start(self) -> None:
        """The weights of another adapter: all of them, or all but its head (a warm start)."""
        if (whole := self.recipe.train.init_from) is not None:
            load_tensors(read_adapter(local_path(whole)), self.model)
        for line in warm_start(self.plan.method, self.model, self.keeper.card.base):
            self.tell(Note(line))

    def _spread(self) -> None:
        """Over several processes: the same start for all, and for each a shard of the base."""
        if self.world.size == 1:
            return
        self.world.same_start(list(self.model.trained().values()))
        if self.recipe.train.parallel == "fsdp":
            shard_frozen(self.model.net, self.world, self.placement.device)

    def _resume(self, found: Found, checkpoint: Checkpoint) -> None:
        self.position, self.progress = self.keeper.go_on_from(checkpoint, self.optimizer)
        assert found.folder is not None
        if self.log is not None:  # its line lay behind the cut
            self.log(Saved(found.folder, self.position.step, num_bytes(found.folder)))
        self.tell(Note(f"resumed from {found.folder}"))
        if self.progress.num_steps != self.schedule.num_steps:
            self.tell(_extension_note(self.progress.num_steps, self.schedule, self.position.step))
            self.progress.num_steps = self.schedule.num_steps

    def _fit(self) -> None:
        """Train; validate after every epoch; keep the best adapter and the last."""
        train, steps = self.recipe.train, self.training.steps(self.schedule.num_steps)
        movement = Movement(self.plan.method.always_reached(self.model))
        self.tell(self._start_event())
        self.model.net.train()
        with self.placement.autocast():
            events = fit(
                list(self.model.trained().values()),
                steps,
                self.training.loss_sum,
                self.optimizer,
                self.schedule,
                train.max_grad_norm,
                position=self.position,
                world=self.world,
            )
            try:
                for event in events:
                    self._deal_with(event, movement)
            except DivergedError as error:
                raise (self._diverged(error) if movement.passed else error) from None

    def _deal_with(self, event: Stepped | EpochEnded | MemoryRanOut, movement: Movement) -> None:
        match event:
            case Stepped():
                self.tell(event)
                movement.stepped(event.step, event.learning_rate)
                if event.step % self.recipe.train.checkpoint_every == 0:
                    self._checkpoint()
                self.world.stop_if_asked()
            case EpochEnded() if event.step > self.progress.validated_step:
                self._validate_and_keep(event)
                self._checkpoint()
                self.world.stop_if_asked()
            case MemoryRanOut():
                self.tell(_less_memory_note(event))

    def _diverged(self, error: DivergedError) -> DivergedError:
        """What is still good stays on disk: the parameters as they were before the step that failed."""
        if all_finite(self.model.trained().values()):
            self.keeper.keep_adapter(self.position.step, best=False)
        folders = (self.folder.adapter, self.folder.last_adapter)
        kept = " and ".join(str(folder) for folder in folders if folder.is_dir())
        return DivergedError(f"{error}; the last good adapter is in {kept}" if kept else str(error))

    def _validate_and_keep(self, ended: EpochEnded) -> None:
        """Best is the greatest validation quality; without a validation split, the last."""
        validation = self.training.validate(self.world) if self.training.has_valid else None
        best = self.progress.is_best(validation)
        if validation is not None:
            self.tell(Validated(ended.epoch, ended.step, validation.loss, validation.scores, best))
            for note in validation.notes:
                self.tell(Note(f"epoch {ended.epoch}: {note}"))
        self.keeper.keep_adapter(ended.step, best=best)
        if best and validation is not None:
            self.progress.best_quality = validation.quality
        self.progress.validated_step = ended.step

    def _finish(self) -> dict[str, Any]:
        """Score the best adapter and write the result."""
        scores: dict[str, Any] = {}
        if self.scored in self.examples:
            self.plan.method.finish(self.model)
            if self.world.leads:
                load_tensors(read_adapter(self.folder.adapter), self.model)
            self.world.same_start(list(self.model.trained().values()))
            scores = self._score("adapter")
        else:
            self.tell(Note(f"no {self.scored} split is given, so nothing is scored"))
        if self.progress.base_scores is not None:
            scores["base"] = self.progress.base_scores
        self.tell(Finished(self.position.step, self.keeper.seconds()))
        if self.world.leads:
            if "scores" in scores:
                record_scores(self.folder.adapter, scores["scores"])
            self.folder.write_scores(scores)
        return scores

    def _checkpoint(self) -> None:
        keep = self.recipe.train.keep_checkpoints
        self.keeper.checkpoint(self.position, self.progress, self.optimizer, self.log, keep)

    def _interrupted(self, error: InterruptedRunError) -> InterruptedRunError:
        """The run as it stands is saved. While scoring there is nothing new to save: the last epoch's end was."""
        reason = self.world.reason() or str(error)
        if not hasattr(self, "optimizer"):
            return InterruptedRunError(
                f"{self.folder.path}: stopped before training ({reason}); nothing is lost"
            )
        self._checkpoint()
        return InterruptedRunError(
            f"{self.folder.path}: stopped after step {self.position.step} ({reason}); run the same command again to "
            f"go on"
        )

    def _score(self, who: str) -> dict[str, Any]:
        name = self.scored if who == "adapter" else f"{self.scored}-base"
        kept = self._kept(who, name)
        with self.placement.autocast():
            evaluation = evaluate_split(
                self.plan.task,
                self.model,
                self.examples[self.scored],
                data=self.recipe.data,
                decode=self.recipe.decode,
                section=self.recipe.eval,
                job=Job(self.tell, self.world, kept),
            )
        if evaluation is None or not self.world.leads:
            return {}
        self.folder.write_predictions(name, evaluation.predictions)
        kept.drop()
        result = evaluation.scores.to_json()
        self.tell(Scored(self.scored, who, result["scores"], result["signatures"]))
        return result

    def _kept(self, who: str, name: str) -> Kept:
        """What is decoded already, with these very weights, settings and examples."""
        weights = [self.keeper.card.base.weights_hash]
        if who == "adapter" and self.world.leads:
            weights.append(read_adapter(self.folder.adapter).card.files[TENSOR_FILE].sha256)
        examples = [repr(example) for example in self.examples[self.scored]]
        decode, size = self.recipe.decode.model_dump(mode="json"), self.recipe.eval.batch_size
        return Kept(self.folder.decoding(name), [weights, decode, size, examples])

    def _optimizer(self) -> AdamW:
        train = self.recipe.train
        groups = parameter_groups(
            self.model.trained(), self.model.net, train.weight_decay, train.decay_exempt
        )
        betas = (train.adam_beta1, train.adam_beta2)
        return AdamW(groups, lr=train.learning_rate, betas=betas, eps=train.adam_epsilon)

    def _start_event(self) -> Started:
        num_trained = sum(p.numel() for p in self.model.trained().values())
        device, dtype = str(self.placement.device), str(self.placement.dtype).removeprefix("torch.")
        num_steps, first = self.schedule.num_steps, self.position.step
        return Started(num_steps, self.training.num_train, num_trained, device, dtype, first)


def _extension_note(planned: int, schedule: Schedule, step: int) -> Note:
    before = replace(schedule, num_steps=planned).learning_rate(step)
    return Note(
        f"extended from {planned:,} to {schedule.num_steps:,} steps; the learning rate is planned anew for that "
        f"length: at step {step + 1:,} it is {schedule.learning_rate(step):.2e} instead of {before:.2e}"
    )


def _less_memory_note(event: MemoryRanOut) -> Note:
    return Note(
        f"step {event.step}: out of memory; it goes on with micro-batches of {event.micro_batch_size}, and the batch "
        f"of a step stays the same"
    )
