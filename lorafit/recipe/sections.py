"""The sections of a recipe: frozen pydantic models in which an unknown key is an error.

Keys, fields and variables are spelt alike. A key that is left out has the default written here. The text below a field
is its description in docs/recipe.md and in recipes/schema.json; it says what None stands for.
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
    field_validator,
    model_validator,
)

from lorafit.recipe.bounds import (
    NEW_TOKENS,
    VOCABULARY,
    AtMost,
    BatchSize,
    Beams,
    Epochs,
    Length,
    LengthPenalty,
    NewTokens,
    Seed,
    Steps,
    WarmupSteps,
)

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Probability = Annotated[float, Field(ge=0.0, lt=1.0)]
AdamBeta = Annotated[float, Field(ge=0.0, lt=1.0)]
Share = Annotated[float, Field(gt=0.0, lt=1.0)]

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")


class Section(BaseModel):
    """A frozen table of a recipe; unknown keys, values of the wrong type, infinity and NaN are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class ModelSection(Section):
    """Which base model, and how it is held in memory."""

    base: str
    """The base model: a Hugging Face hub id, or a local folder."""
    revision: str | None = None
    """Branch, tag or commit on the hub. Without it: the hub's main branch."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of the base's weights. auto: bfloat16 on a GPU that has it, else float32."""
    dropout: Probability | None = None
    """Every dropout inside the base, as a probability. Without it: the base's own."""
    head_dropout: Probability | None = None
    """Dropout before the classifier (`cls_dropout` in the original scripts). Without it: the base's own."""


class MethodSection(Section):
    """What is trained, by the name of the method; each method has keys of its own."""


class TaskSection(Section):
    """What the rows mean and how predictions are scored, by the name of a task or preset; each has keys of its own."""

    name: str
    """The task or preset, such as "classification" or "e2e"."""


class DataSection(Section):
    """Where the rows are, and how long an example may be."""

    dir: str | None = None
    """Folder of the data files: `train.csv`, `valid.csv` and `test.csv` or the like, or a preset's original download.
    Without any place, a preset reads its original data: lorafit's own data folder for E2E, DART and WebNLG, the
    Hugging Face hub for GLUE."""
    train: str | None = None
    """File of the training rows; wins over `dir`."""
    valid: str | Share | None = None
    """File of the validation rows; wins over `dir`. A number between 0 and 1: that share of the training rows, chosen
    by a hash of the prompt or text, so that rows with one prompt stay together and further rows move no other."""
    test: str | Share | None = None
    """File of the test rows, or another share of the training rows, as for `valid`."""
    format: str | None = None
    """Format of the files: csv, tsv, json, jsonl, parquet, text, or a layout of the paper's data: e2e, dart, webnlg.
    Each may be gzipped. Without it: by the file's suffix."""
    columns: tuple[str, ...] = ()
    """Names of the columns of csv and tsv files without a header line. A first line that holds one of the names is
    taken for a header all the same."""
    rename: dict[str, str] = {}
    """Columns that go by another name in files: the name there -> the name that the task uses."""
    max_length: Length = 512
    """Longest example, in tokens; longer ones lose their end, as in the original code."""
    on_long_row: Literal["error", "cut"] = "error"
    """Training rows of which nothing is left to learn within `max_length`. error: more than a tenth of all are refused,
    and nothing starts; cut: they are taken as they are. Either way they are counted and said."""
    on_bad_row: Literal["error", "skip"] = "error"
    """Rows that cannot be used. error: they are named, and nothing starts; skip: they are left out and counted."""

    @field_validator("valid", "test", mode="before")
    @classmethod
    def _file_or_share(cls, value: object) -> object:
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, bool) or not isinstance(value, float) or not 0 < value < 1:
            raise ValueError(f"must be a file, or a share of the training rows such as 0.1; got {value!r}")
        return value

    @model_validator(mode="after")
    def _leaves_rows_to_train_on(self) -> DataSection:
        if sum(self.shares().values()) >= 1:
            raise ValueError("'valid' and 'test' take all rows of the training split; lower them")
        return self

    def paths(self) -> dict[str, str]:
        """The keys that name a file or a folder, with what they say."""
        named = {"dir": self.dir, "train": self.train, "valid": self.valid, "test": self.test}
        return {key: value for key, value in named.items() if isinstance(value, str)}

    def files(self) -> dict[Split, str]:
        """The file of every split that is named by one."""
        named = {"train": self.train, "valid": self.valid, "test": self.test}
        return {split: value for split in SPLITS if isinstance(value := named[split], str)}

    def shares(self) -> dict[Split, float]:
        """The share of every split that is one of the training rows."""
        given = {"train": None, "valid": self.valid, "test": self.test}
        return {split: value for split in SPLITS if isinstance(value := given[split], float)}


class TrainSection(Section):
    """The optimizer (AdamW), its schedule, and the order of the data."""

    epochs: Epochs | None = None
    """Passes over the training rows, such as 3 or 0.5. Either this or `max_steps` is needed."""
    max_steps: Steps | None = None
    """Optimizer steps: ends training early, and the schedule is planned for that end."""
    batch_size: BatchSize = 8
    """Examples per optimizer step, over all processes and micro-batches together."""
    micro_batch_size: BatchSize | None = None
    """Examples held in memory at once; the result does not depend on it. Without it: `batch_size`."""
    learning_rate: PositiveFloat
    """The peak; it rises linearly over the warm-up and then falls linearly to 0."""
    warmup_steps: WarmupSteps | None = None
    """Optimizer steps until the peak. Excludes `warmup_ratio`; without both there is no warm-up."""
    warmup_ratio: Fraction | None = None
    """Warm-up as a share of all optimizer steps, rounded up. Excludes `warmup_steps`."""
    weight_decay: NonNegativeFloat = 0.0
    """AdamW's decoupled weight decay, of trained parameters only."""
    decay_exempt: Literal["none", "bias_and_norm"] = "none"
    """Which trained parameters are never decayed. bias_and_norm: biases and normalization layers."""
    label_smoothing: Probability = 0.0
    """Share of the target's probability that is spread over all classes or tokens."""
    max_grad_norm: NonNegativeFloat = 0.0
    """Gradients are scaled down to this norm where theirs is larger. 0 turns clipping off."""
    adam_beta1: AdamBeta = 0.9
    """Decay of AdamW's mean of the gradients."""
    adam_beta2: AdamBeta = 0.999
    """Decay of AdamW's mean of their squares."""
    adam_epsilon: Annotated[PositiveFloat, AtMost(1.0, "nothing moves with a greater denominator")] = 1e-8
    """Added to AdamW's denominator."""
    seed: Seed = 0
    """Seed of every random draw: initial values, order of the data, dropout."""
    shuffle: bool = True
    """Whether every epoch has an order of its own; else the order is that of the file."""
    last_batch: Literal["short", "fill", "drop"] = "short"
    """The last batch of an epoch, where too few rows are left. short: it is smaller; fill: rows are drawn again, as the
    paper's code does; drop: it is left out."""
    batch_order: Literal["random", "bucketed"] = "random"
    """bucketed: examples of similar length share a batch, which saves padding but changes the batches."""
    log_every: Steps = 10
    """Optimizer steps from one line of progress to the next."""
    checkpoint_every: Steps = 500
    """Optimizer steps from one checkpoint to the next; the end of every epoch has one too."""
    keep_checkpoints: Annotated[PositiveInt, AtMost(10**6, "each is a folder of its own")] = 2
    """How many checkpoints are kept: the newest ones."""
    max_oom_retries: Annotated[NonNegativeInt, AtMost(64, "one example cannot be halved")] = 3
    """How often the micro-batch is halved when memory runs out."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """How several processes share the work. ddp: each holds the whole base; fsdp: each holds a shard of it."""
    gradient_checkpointing: bool = False
    """Less memory for about a third more time, with the same losses."""
    init_from: str | None = None
    """An adapter folder: every trained tensor starts as it is there."""

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
    """How text is generated. The rules are those of the paper's own beam search."""

    num_beams: Beams = 10
    """Width of the beam search. 1 is greedy decoding."""
    length_penalty: LengthPenalty = 1.0
    """A text's score is its log-probability divided by `length ** length_penalty`: more than 0 favours long texts."""
    no_repeat_ngram_size: Annotated[NonNegativeInt, NEW_TOKENS] = 0
    """No text holds the same n tokens in a row twice, for this n. 0 allows repetition."""
    max_new_tokens: NewTokens = 64
    """Longest text, in tokens."""
    eos_token_ids: tuple[Annotated[NonNegativeInt, VOCABULARY], ...] | None = None
    """Ids of the tokens that end a text. Without it: the tokenizer's end-of-text token."""


class EvalSection(Section):
    """How predictions are scored."""

    metrics: tuple[str, ...] | None = None
    """Metrics by name, such as "bleu". Without it: the task's own."""
    batch_size: BatchSize = 16
    """Examples scored or decoded at once; the result does not depend on it."""
    score_base: bool = False
    """Also score the bare base, before training."""


class PaperSection(Section):
    """The published row that the recipe stands for. Only reports read it; no recipe inherits it."""

    table: str | None = None
    """Number of the table in the LoRA paper."""
    row: str | None = None
    """Label of the row."""
    scores: dict[str, float] = {}
    """The published scores, by the names that lorafit's scores have."""


class Recipe(Section):
    """One experiment: every value resolved, nothing looked up."""

    name: str
    """What the run is called. Without it: the file's name without ".toml"."""
    model: ModelSection
    method: SerializeAsAny[MethodSection]
    task: SerializeAsAny[TaskSection]
    data: DataSection = DataSection()
    train: TrainSection
    decode: DecodeSection = DecodeSection()
    eval: EvalSection = EvalSection()
    paper: PaperSection = PaperSection()
