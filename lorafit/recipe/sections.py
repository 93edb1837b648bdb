"""The sections of a recipe: frozen pydantic models in which an unknown key is an error.

Keys, fields and variables are spelt alike. A key that is left out has the default written here. The text below a field
is its description in docs/recipe.md and in recipes/schema.json; it says what None stands for.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
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
    ValidationInfo,
    field_validator,
    model_validator,
)

from lorafit.recipe.bounds import (
    NEW_TOKENS,
    VOCABULARY,
    AtMost,
    BatchSize,
    BatchTokens,
    Beams,
    Epochs,
    Length,
    LengthPenalty,
    NewTokens,
    Seed,
    Steps,
    WarmupSteps,
    Weight,
)

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Probability = Annotated[float, Field(ge=0.0, lt=1.0)]
AdamBeta = Annotated[float, Field(ge=0.0, lt=1.0)]
Share = Annotated[float, Field(gt=0.0, lt=1.0)]
Names = Annotated[tuple[str, ...], Field(min_length=1)]

Split = Literal["train", "valid", "test"]
Place = str | tuple[str, ...] | float | None
SPLITS: tuple[Split, ...] = ("train", "valid", "test")


class Section(BaseModel):
    """A frozen table of a recipe; unknown keys, values of the wrong type, infinity and NaN are refused."""

    # Every command defines all sections and validates with few of them: their text is read where it is shown.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)


class ModelSection(Section):
    """Which base model, and how it is held in memory."""

    base: str
    """The base model: a Hugging Face hub id, or a local folder."""
    revision: str | None = None
    """Branch, tag or commit on the hub. Without it: the hub's main branch."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of the base's weights. auto: bfloat16 on a GPU that has it, on a processor that multiplies it where
    the base is wide enough to gain by it (640 with AMX, 256 with AVX512-BF16 alone), and for a quantised base; else
    float32. The log says which and why, and a run keeps it."""
    quantize: Literal["nf4"] | None = None
    """QLoRA (Dettmers et al. 2023): holds the base's linear layers in 4 bits, a quarter of bfloat16's memory; they
    compute in `dtype`. nf4: NormalFloat with double quantisation, by bitsandbytes. Only LoRA trains beside it. Without
    it: all in `dtype`."""
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
    train: str | Names | None = None
    """File of the training rows, or several, each in a format of its own; wins over `dir`. With `hub`: the name of a
    split there, or several; without it, the split of that name."""
    valid: str | Names | Share | None = None
    """File or files of the validation rows, as for `train`. A number between 0 and 1: that share of the training rows,
    chosen by a hash of the prompt or text, so that rows with one prompt stay together and further rows move no
    other."""
    test: str | Names | Share | None = None
    """File or files of the test rows, or another share of the training rows, as for `valid`."""
    seed: Seed = 0
    """Chooses other rows for the shares. The order of the rows in training has `train.seed`."""
    weights: tuple[Weight, ...] | None = None
    """How often the rows of each file of `train` come in an epoch, such as [3, 0.5]: all of the first three times, and
    half of the second, other ones in the next epoch. Without it: each row once."""
    hub: str | None = None
    """A data set on the Hugging Face hub, "owner/name", in place of files."""
    hub_config: str | None = None
    """Its configuration. Without it: the default one. A run records which it was."""
    hub_revision: str | None = None
    """Branch, tag or commit of it. Without it: the hub's main branch. A run records the commit, and keeps it."""
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

    @field_validator("train", "valid", "test", mode="before")
    @classmethod
    def _files_or_share(cls, value: object, info: ValidationInfo) -> object:
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, list | tuple) and value and all(isinstance(name, str) for name in value):
            return tuple(value)
        if info.field_name == "train":
            raise ValueError(f"must be a file, or an array of files; got {value!r}")
        if isinstance(value, bool) or not isinstance(value, float) or not 0 < value < 1:
            raise ValueError(f"must be a file, or a share of the training rows such as 0.1; got {value!r}")
        return value

    @model_validator(mode="after")
    def _places_go_together(self) -> DataSection:
        for split, names in self.files().items():
            if len(set(names)) < len(names):
                raise ValueError(
                    f"'{split}' names the same twice; 'weights' say how often the rows of a file come"
                )
        num_files = len(self.files().get("train", ()))
        if self.weights is not None and (not self.weights or len(self.weights) != num_files):
            raise ValueError(
                f"'weights' must have a number for each file of 'train' ({num_files}); got {len(self.weights)}"
            )
        with_hub = {"dir": self.dir, "format": self.format, "columns": self.columns}
        if self.hub is not None and (clash := [key for key, value in with_hub.items() if value]):
            raise ValueError(f"'hub' and '{clash[0]}' exclude each other; keep one")
        for_hub = {"hub_config": self.hub_config, "hub_revision": self.hub_revision}
        if self.hub is None and (alone := [key for key, value in for_hub.items() if value is not None]):
            raise ValueError(f"'{alone[0]}' is of a data set on the hub; say which by 'hub'")
        return self

    @model_validator(mode="after")
    def _leaves_rows_to_train_on(self) -> DataSection:
        if sum(self.shares().values()) >= 1:
            raise ValueError("'valid' and 'test' take all rows of the training split; lower them")
        return self

    def paths(self) -> tuple[str, ...]:
        """The files and folders that it names; what it names of a data set on the hub are none."""
        if self.hub is not None:
            return ()
        return (*(() if self.dir is None else (self.dir,)), *itertools.chain(*self.files().values()))

    def moved(self, to: Mapping[str, str]) -> DataSection:
        """With other places for those of its `paths` that are in `to`."""
        places = {"dir": self.dir, "train": self.train, "valid": self.valid, "test": self.test}
        return self.model_copy(update={key: _moved(place, to) for key, place in places.items()})

    def files(self) -> dict[Split, tuple[str, ...]]:
        """The files of every split that is named by them; with `hub`, the splits there."""
        named = {"train": self.train, "valid": self.valid, "test": self.test}
        listed = {split: (value,) if isinstance(value, str) else value for split, value in named.items()}
        return {split: value for split in SPLITS if isinstance(value := listed[split], tuple)}

    def shares(self) -> dict[Split, float]:
        """The share of every split that is one of the training rows."""
        given = {"train": None, "valid": self.valid, "test": self.test}
        return {split: value for split in SPLITS if isinstance(value := given[split], float)}


def _moved(place: Place, to: Mapping[str, str]) -> Place:
    if isinstance(place, tuple):
        return tuple(to.get(name, name) for name in place)
    return to.get(place, place) if isinstance(place, str) else place


class TrainSection(Section):
    """The optimizer (AdamW), its schedule, and the order of the data."""

    epochs: Epochs | None = None
    """Passes over the training rows, such as 3 or 0.5. Either this or `max_steps` is needed."""
    max_steps: Steps | None = None
    """Optimizer steps: ends training early, and the schedule is planned for that end."""
    batch_size: BatchSize | None = 8
    """Examples per optimizer step, over all processes and micro-batches together."""
    batch_tokens: BatchTokens | None = None
    """Tokens per optimizer step in place of `batch_size`: as many examples as have no more together, in the order of
    the epoch; a longer one has a step of its own. The number of steps follows from the lengths of the rows."""
    micro_batch_size: BatchSize | None = None
    """Examples held in memory at once; the result does not depend on it. Without it: all of a step."""
    learning_rate: PositiveFloat
    """The peak; it rises linearly over the warm-up and then goes on as `schedule` says."""
    lora_plus_ratio: Annotated[PositiveFloat, AtMost(1e4, "nothing is learned in steps as long")] | None = (
        None
    )
    """LoRA+ (Hayou et al. 2024): the learning rate of every B is so many times that of A and of all else; the paper
    advises 16. Without it: the same."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """The learning rate behind the warm-up. linear, cosine: it falls to 0 at the last step; constant: it stays."""
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
    optimizer: Literal["adamw", "adamw_8bit"] = "adamw"
    """adamw: as the paper's code has it; adamw_8bit: that of bitsandbytes, which holds the moments of tensors of 4,096
    values and more in 8 bits."""
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
    """bucketed: of rows that are shuffled, examples of similar length share a batch, which saves time but changes the
    batches. The default of `classification`, `multilabel` and `regression`."""
    patience: Steps | None = None
    """Training ends after so many epochs in a row without a better validation. Without it: at the last epoch."""
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
    compile: bool = False
    """Compiles the base's blocks for training (torch.compile), for rows of few lengths to which tokens are padded. The
    result is the same but for rounding. Compiling takes minutes, so it is for long runs on a GPU. It needs Triton
    there, and a C++ compiler on a CPU."""
    init_from: str | None = None
    """An adapter folder: every trained tensor starts as it is there."""

    @model_validator(mode="before")
    @classmethod
    def _tokens_in_place_of_examples(cls, keys: object) -> object:
        if isinstance(keys, dict) and keys.get("batch_tokens") is not None:
            return {"batch_size": None, **keys}
        return keys

    @model_validator(mode="after")
    def _one_of_each(self) -> TrainSection:
        if self.epochs is None and self.max_steps is None:
            raise ValueError("needs 'epochs' or 'max_steps'")
        if self.warmup_steps is not None and self.warmup_ratio is not None:
            raise ValueError("'warmup_steps' and 'warmup_ratio' exclude each other; keep one")
        if self.batch_tokens is not None and self.batch_size is not None:
            raise ValueError("'batch_tokens' and 'batch_size' exclude each other; keep one")
        if self.batch_tokens is not None and self.last_batch != "short":
            raise ValueError(
                "'last_batch' is about a number of examples, and 'batch_tokens' counts tokens; drop one"
            )
        if self.compile and self.parallel == "fsdp":
            raise ValueError("'compile' and 'parallel = \"fsdp\"' exclude each other; keep one")
        if self.micro_batch_size and self.batch_size and self.micro_batch_size > self.batch_size:
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
    """Ids of the tokens that end a text. Without it: the tokenizer's, and those of generation_config.json."""


class EvalSection(Section):
    """How predictions are scored."""

    metrics: tuple[str, ...] | None = None
    """Metrics by name, such as "bleu". Without it: the task's own."""
    batch_size: BatchSize = 16
    """Examples scored or decoded at once; the result does not depend on it."""
    score_base: bool = False
    """Also score the bare base, before training."""


class TrackSection(Section):
    """Other programs that show the numbers of a run as they come. They get what stands in metrics.jsonl, and no choice
    here makes another run."""

    to: tuple[str, ...] = ()
    """Their names, such as "tensorboard" or "wandb". Their files are in the run folder, below `track/`. One that is not
    installed, or fails, is left out with a note."""
    project: str = "lorafit"
    """The project of Weights & Biases that the run is filed under."""
    offline: bool = False
    """Nothing is sent: `wandb sync` does it later."""


_Whole = Annotated[int, AtMost(2**63 - 1, "no key of a recipe takes a greater one")]
SweepValue = bool | _Whole | float | str | tuple[str | _Whole | float, ...] | dict[str, str | _Whole | float]


class SweepSection(Section):
    """What `lorafit sweep` varies. Only that command reads it; no recipe inherits it."""

    grid: dict[str, tuple[SweepValue, ...]] = {}
    """Keys of the recipe, each with the values that it takes, such as "train.learning_rate" = [1e-4, 1e-3]: there is a
    run for every combination."""
    seeds: tuple[Seed, ...] = ()
    """A run of every combination for each of these seeds. Without it: the recipe's own seed."""


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
    track: TrackSection = TrackSection()
    sweep: SweepSection = SweepSection()
    paper: PaperSection = PaperSection()
