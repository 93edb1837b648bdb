"""The sections of a recipe: frozen pydantic models in which an unknown key is an error.

Keys, fields and variables are spelt alike. A key that is left out has the default written here; `None` means
"as the base model or the task has it".
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SerializeAsAny,
    model_validator,
)

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Probability = Annotated[float, Field(ge=0.0, lt=1.0)]
AdamBeta = Annotated[float, Field(ge=0.0, lt=1.0)]


class Section(BaseModel):
    """A frozen table of a recipe; unknown keys and values of the wrong type are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ModelSection(Section):
    """Which base model, and how it is held in memory."""

    base: str  # a hub id, or a local folder
    revision: str | None = None  # a hub branch, tag or commit
    dtype: Literal["auto", "float32", "bfloat16"] = (
        "auto"  # auto: bfloat16 on a GPU that has it, else float32
    )
    dropout: Probability | None = None  # every dropout inside the base; None keeps the base's own
    head_dropout: Probability | None = None  # before the classifier (`cls_dropout` in the original scripts)


class MethodSection(Section):
    """What is trained. Each method is a subclass in `lorafit/methods/` whose fields are the method's own keys."""


class TaskSection(Section):
    """What the examples are and how predictions are scored."""

    name: str


class DataSection(Section):
    """Where the rows are. `train`, `valid`, `test` name files one by one and win over `dir`."""

    dir: str | None = None
    train: str | None = None
    valid: str | None = None
    test: str | None = None
    max_length: PositiveInt = 512  # tokens; longer examples lose their end, as in the original code
    on_bad_row: Literal["error", "skip"] = "error"  # skip: malformed rows are left out, and counted


class TrainSection(Section):
    """The optimizer, its schedule, and the order of the data."""

    epochs: PositiveFloat | None = None
    max_steps: PositiveInt | None = (
        None  # optimizer steps; ends training early, and plans the schedule for that end
    )
    batch_size: PositiveInt = 8  # examples per optimizer step, over all processes and micro-batches together
    micro_batch_size: PositiveInt | None = None  # examples held in memory at once; None means batch_size
    learning_rate: PositiveFloat
    warmup_steps: NonNegativeInt | None = None
    warmup_ratio: Fraction | None = None  # of all optimizer steps, rounded up
    weight_decay: NonNegativeFloat = 0.0
    decay_exempt: Literal["none", "bias_and_norm"] = "none"  # which trained parameters are never decayed
    label_smoothing: Probability = 0.0
    max_grad_norm: NonNegativeFloat = 0.0  # 0 turns clipping off
    adam_beta1: AdamBeta = 0.9
    adam_beta2: AdamBeta = 0.999
    adam_epsilon: PositiveFloat = 1e-8
    seed: NonNegativeInt = 0
    shuffle: bool = True
    last_batch: Literal["short", "fill", "drop"] = "short"  # fill: rows drawn again, as the paper's code does
    batch_order: Literal["random", "bucketed"] = "random"  # bucketed: examples of like length share a batch
    log_every: PositiveInt = 10  # optimizer steps
    checkpoint_every: PositiveInt = 500  # optimizer steps; the end of every epoch comes on top
    keep_checkpoints: PositiveInt = 2  # the newest ones
    max_oom_retries: NonNegativeInt = 3  # how often the micro-batch is halved when memory runs out
    parallel: Literal["ddp", "fsdp"] = (
        "ddp"  # of several processes: each has the whole base, or a shard of it
    )
    gradient_checkpointing: bool = False  # less memory, about a third more time, the same losses
    init_from: str | None = None  # an adapter folder: every trained tensor starts as it is there

    @model_validator(mode="after")
    def _one_of_each(self) -> TrainSection:
        if self.epochs is None and self.max_steps is None:
            raise ValueError("needs 'epochs' or 'max_steps'")
        if self.warmup_steps is not None and self.warmup_ratio is not None:
            raise ValueError("'warmup_steps' and 'warmup_ratio' exclude each other; keep one")
        if self.micro_batch_size is not None and self.micro_batch_size > self.batch_size:
            raise ValueError(
                f"'micro_batch_size' ({self.micro_batch_size}) is larger than 'batch_size' ({self.batch_size})"
            )
        return self


class DecodeSection(Section):
    """How text is generated. The rules are the paper's own beam search (`lorafit.decoding`)."""

    num_beams: PositiveInt = 10
    length_penalty: float = 1.0
    no_repeat_ngram_size: NonNegativeInt = 0  # 0 allows repetition
    max_new_tokens: PositiveInt = 64
    eos_token_ids: tuple[NonNegativeInt, ...] | None = None  # None: the tokenizer's end-of-text token


class EvalSection(Section):
    """How predictions are scored."""

    metrics: tuple[str, ...] | None = None  # None: the task's own
    batch_size: PositiveInt = 16
    score_base: bool = False  # also score the bare base, before training


class PaperSection(Section):
    """The published row that the recipe stands for. Read by reports only; nothing depends on it."""

    table: str | None = None
    row: str | None = None
    scores: dict[str, float] = {}


class Recipe(Section):
    """One experiment: every value resolved, nothing looked up."""

    name: str
    model: ModelSection
    method: SerializeAsAny[MethodSection]
    task: TaskSection
    data: DataSection = DataSection()
    train: TrainSection
    decode: DecodeSection = DecodeSection()
    eval: EvalSection = EvalSection()
    paper: PaperSection = PaperSection()
