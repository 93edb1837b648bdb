"""Table 2: fine-tuning, BitFit and the adapters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from recipe_grid_glue import (
    DEBERTA,
    PAPER,
    ROBERTA_BASE,
    ROBERTA_LARGE,
    SCRIPT,
    TRAINER,
    WARM_TASKS,
    Base,
    Cell,
    batch_entries,
    data_section,
    head,
    read_cells,
    tail,
    trainer_entries,
)
from recipe_sheet import Entry, Sheet

from lorafit.paper.tables import GLUE_TASKS

QUOTED = (
    "The LoRA paper quotes this row from prior work and gives no hyperparameters for it; these are that work's, "
    "as far as they are published."
)
FAIRSEQ = "examples/roberta/README.glue.md of fairseq: what the authors of RoBERTa recommend for GLUE"
DEBERTA_CODE = "experiments/glue/{script} of microsoft/DeBERTa, model xxlarge-v2"
DEBERTA_PAPER = "arXiv 2006.03654 (DeBERTa), the table of fine-tuning hyperparameters"
BITFIT = "run_glue.py of github.com/benzakenelad/BitFit: the defaults"
ADAPTER_HUB = "AdapterHub's usual setting, with which AdapterDrop was trained too as far as we know"

# [F]: devices x batch, learning rate, epochs, length. RoBERTa's paper searched {1, 2, 3}e-5 and {16, 32}, 10 epochs.
ROBERTA_FT = read_cells("""
    mnli | 1x32 | 1e-5 | 10 | 512
    sst2 | 1x32 | 1e-5 | 10 | 512
    mrpc | 1x16 | 1e-5 | 10 | 512
    cola | 1x16 | 1e-5 | 10 | 512
    qnli | 1x32 | 1e-5 | 10 | 512
    qqp  | 1x32 | 1e-5 | 10 | 512
    rte  | 1x16 | 2e-5 | 10 | 512
    stsb | 1x16 | 2e-5 | 10 | 512
""")

# [D]: batch in all, learning rate, epochs, length, warm-up steps, dropout before the classifier
DEBERTA_FT = read_cells(
    """
    mnli | 1x64 | 3e-6   | 3  | 256 | 1000 | 0.3
    sst2 | 1x32 | 3e-6   | 6  | 128 | 500  | 0.2
    mrpc | 1x32 | 2e-6   | 6  | 128 | 50   | 0.2
    cola | 1x32 | 2.5e-6 | 10 | 64  | 100  | 0.2
    qnli | 1x64 | 3e-6   | 4  | 512 | 500  | 0.2
    qqp  | 1x64 | 3e-6   | 10 | 320 | 1000 | 0.2
    rte  | 1x48 | 3e-6   | 6  | 320 | 100  | 0.2
    stsb | 1x32 | 3e-6   | 4  | 128 | 100  | 0.2
    """,
    "warmup_steps",
    "head_dropout",
)
DEBERTA_SCRIPTS = {task: f"{task}.sh" for task in GLUE_TASKS}


@dataclass(frozen=True)
class Bottleneck:
    """A row of adapters of Table 9: epochs and learning rate in the order of its columns."""

    suffix: str
    label: str
    variant: str
    size: int
    epochs: tuple[int, ...]
    learning_rates: tuple[float, ...]

    def cell(self, task: str) -> Cell:
        """Its values for a task. 32 on each of 8 GPUs, length 128."""
        i = _TABLE_9.index(task)
        return Cell(8, 32, self.learning_rates[i], self.epochs[i], 128)


_TABLE_9 = ("mnli", "sst2", "mrpc", "cola", "qnli", "qqp", "rte", "stsb")
_ALL_3E4 = (3e-4,) * 8
_HOULSBY_EPOCHS = (10, 5, 10, 10, 5, 20, 20, 10)

BOTTLENECKS = (
    Bottleneck(
        "pfeiffer_3m",
        "RoBERTa large (Adapter-P 3.0M †)",
        "pfeiffer",
        64,
        (10, 20, 20, 20, 10, 20, 20, 20),
        (3e-5, 3e-5, *_ALL_3E4[2:]),
    ),
    Bottleneck(
        "pfeiffer_800k",
        "RoBERTa large (Adapter-P 0.8M †)",
        "pfeiffer",
        16,
        (5, 20, 20, 20, 10, 20, 20, 20),
        _ALL_3E4,
    ),
    Bottleneck(
        "houlsby_6m",
        "RoBERTa large (Adapter-H 6.0M †)",
        "houlsby",
        64,
        _HOULSBY_EPOCHS,
        (3e-5, *_ALL_3E4[1:]),
    ),
    Bottleneck("houlsby_800k", "RoBERTa large (Adapter-H 0.8M †)", "houlsby", 8, _HOULSBY_EPOCHS, _ALL_3E4),
)


def baseline_sheets() -> Iterator[Sheet]:
    """Every recipe of Table 2 that is not LoRA."""
    for task in GLUE_TASKS:
        yield _roberta_ft(ROBERTA_BASE, task)
        yield _roberta_ft(ROBERTA_LARGE, task)
        yield _deberta_ft(task)
        yield _bitfit(task)
        yield _adapter_drop(task, "300k", "RoBERTa base (Adapter-D 0.3M)", 16)
        yield _adapter_drop(task, "900k", "RoBERTa base (Adapter-D 0.9M)", 48)
        for row in BOTTLENECKS:
            yield _bottleneck(task, row)


def _from_mnli(base: Base, task: str) -> list[str]:
    if task not in WARM_TASKS:
        return []
    return [
        f"The published figure is that of a model that had been fine-tuned on MNLI first. To do the same: train "
        f"mnli_{base.name}_ft, `lorafit merge` its adapter into a folder, and start here with --set model.base=FOLDER. "
        "As it stands the recipe starts from the pretrained model."
    ]


def _roberta_ft(base: Base, task: str) -> Sheet:
    cell = ROBERTA_FT[task]
    warmup = Entry("warmup_ratio", 0.06, "[F] 6 % of the steps")
    if task == "qqp":
        warmup = Entry("warmup_ratio", 0.25, "[F] 28,318 of 113,272 steps; 6 % for all other tasks")
    sections = {
        "model": [
            Entry("base", base.hub),
            Entry("dtype", "float32", "[F] trains in fp16 with float32 master weights"),
            Entry("dropout", 0.1, "[F]"),
        ],
        "method": [Entry("name", "full")],
        "task": [Entry("name", task)],
        "data": data_section(cell.max_length, "[F] --max-positions 512"),
        "train": [
            Entry("epochs", cell.epochs, "[F] --max-epoch 10"),
            Entry("batch_size", cell.batch_size, "[F] --max-sentences, on one GPU"),
            Entry("learning_rate", cell.learning_rate, "[F] --lr, falling linearly to 0"),
            warmup,
            Entry("weight_decay", 0.1, "[F] on every weight"),
            Entry("max_grad_norm", 0.0, "[F] --clip-norm 0.0"),
            Entry("adam_beta1", 0.9, "[F]"),
            Entry("adam_beta2", 0.98, "[F]"),
            Entry("adam_epsilon", 1e-6, "[F]"),
            Entry("seed", 0),
        ],
        **tail(f"{base.title} (FT)", task),
    }
    large_only = (
        [] if base is ROBERTA_LARGE else ["[F] is written for RoBERTa large; nothing is published for base."]
    )
    return Sheet(
        f"{task}_{base.name}_ft",
        [head(base.title, "full fine-tuning", task)],
        {"[F]": FAIRSEQ},
        [QUOTED, *large_only, *_from_mnli(base, task)],
        sections,
    )


def _deberta_ft(task: str) -> Sheet:
    cell = DEBERTA_FT[task]
    sections = {
        "model": [
            Entry("base", DEBERTA.hub),
            Entry("dtype", "float32", "[D] --fp16 True, with float32 master weights"),
            Entry("head_dropout", cell.head_dropout, "[D] --cls_drop_out"),
        ],
        "method": [Entry("name", "full")],
        "task": [Entry("name", task)],
        "data": data_section(cell.max_length, "[D] --max_seq_len"),
        "train": [
            Entry("epochs", cell.epochs, "[D] --num_train_epochs"),
            Entry("batch_size", cell.batch_size, "[D] --train_batch_size, over all GPUs"),
            Entry("learning_rate", cell.learning_rate, "[D] --learning_rate"),
            Entry("warmup_steps", cell.warmup_steps, "[D] --warmup"),
            Entry("weight_decay", 0.01, "[H]"),
            Entry("decay_exempt", "bias_and_norm", "[D] the program's rule"),
            Entry("max_grad_norm", 1.0, "[H]"),
            Entry("adam_beta1", 0.9, "[H]"),
            Entry("adam_beta2", 0.999, "[H]"),
            Entry("adam_epsilon", 1e-6, "[H]"),
            Entry("seed", 0),
        ],
        **tail("DeBERTa XXL (FT)", task),
    }
    return Sheet(
        f"{task}_deberta_xxl_ft",
        [head(DEBERTA.title, "full fine-tuning", task)],
        {"[D]": DEBERTA_CODE.format(script=DEBERTA_SCRIPTS[task]), "[H]": DEBERTA_PAPER},
        [QUOTED, *_from_mnli(DEBERTA, task)],
        sections,
    )


def _bitfit(task: str) -> Sheet:
    sections = {
        "model": [Entry("base", ROBERTA_BASE.hub), Entry("dtype", "float32")],
        "method": [Entry("name", "bitfit", "every bias of the encoder, and the head")],
        "task": [Entry("name", task)],
        "data": data_section(128, "[B] MAX_SEQUENCE_LEN"),
        "train": [
            Entry("epochs", 16, "[B] --epochs"),
            Entry("batch_size", 8, "[B] --batch-size"),
            Entry(
                "learning_rate",
                1e-3,
                "[B] --learning-rate; the paper of BitFit searched for it, task by task",
            ),
            Entry("warmup_steps", 0, "ours: linear decay without warm-up"),
            Entry("weight_decay", 0.0, "ours: biases are not decayed"),
            Entry("max_grad_norm", 1.0, "ours"),
            Entry("adam_epsilon", 1e-8, "torch's default"),
            Entry("seed", 0),
        ],
        **tail("RoBERTa base (BitFit)", task),
    }
    return Sheet(
        f"{task}_roberta_base_bitfit",
        [head(ROBERTA_BASE.title, "BitFit", task)],
        {"[B]": BITFIT},
        [QUOTED],
        sections,
    )


def _adapter_drop(task: str, suffix: str, label: str, size: int) -> Sheet:
    sections = {
        "model": [Entry("base", ROBERTA_BASE.hub), Entry("dtype", "float32")],
        "method": [
            Entry("name", "adapter"),
            Entry("variant", "adapterdrop", "one adapter a layer, after the feed-forward part"),
            Entry(
                "size", size, f"gives the {label.split()[-1].strip(')')} of Table 2, which does not print it"
            ),
        ],
        "task": [Entry("name", task)],
        "data": data_section(128, "[A]"),
        "train": [
            Entry("epochs", 30, "[A] the best epoch counts"),
            Entry("batch_size", 32, "[A]"),
            Entry("learning_rate", 1e-4, "[A]"),
            Entry("warmup_steps", 0, "[A] linear decay"),
            Entry("weight_decay", 0.0, "[A]"),
            Entry("max_grad_norm", 1.0, "[A]"),
            Entry("adam_epsilon", 1e-8, "[A]"),
            Entry("seed", 0),
        ],
        **tail(label, task),
    }
    return Sheet(
        f"{task}_roberta_base_adapterdrop_{suffix}",
        [head(ROBERTA_BASE.title, "the adapters of Rücklé et al. (2020)", task)],
        {"[A]": ADAPTER_HUB},
        [QUOTED],
        sections,
    )


def _bottleneck(task: str, row: Bottleneck) -> Sheet:
    cell = row.cell(task)
    script = f"adapter_{row.variant}_roberta_large_mnli.sh"
    places = "after attention and after the MLP" if row.variant == "houlsby" else "after the MLP"
    sections = {
        "model": [
            Entry("base", ROBERTA_LARGE.hub),
            Entry("dtype", "float32", "[R] no --fp16"),
            Entry(note="The dropouts of the base (0.1) stay on in training. [T]"),
        ],
        "method": [
            Entry("name", "adapter"),
            Entry("variant", row.variant, f"[R] {places}; LayerNorm stays frozen"),
            Entry("size", row.size, "[P]"),
        ],
        "task": [Entry("name", task)],
        "data": data_section(cell.max_length, "[P] D.1: 128 for all tasks"),
        "train": [
            Entry("epochs", cell.epochs, _epochs_source(task, row)),
            *batch_entries(
                cell,
                "[R] 32 on each of 8 GPUs; [P] prints 32, and everywhere else it prints the batch of one GPU",
            ),
            Entry("learning_rate", cell.learning_rate, "[P]"),
            Entry("warmup_ratio", 0.06, "[P]; [R] has 0.1"),
            *_adapter_trainer(),
        ],
        **tail(row.label, task),
    }
    return Sheet(
        f"{task}_roberta_large_{row.suffix}",
        [
            head(
                ROBERTA_LARGE.title,
                f"{row.variant.capitalize()} adapters, in the setup of Houlsby et al. (†)",
                task,
            )
        ],
        {"[P]": PAPER.format(table="Table 9"), "[R]": SCRIPT.format(script=script), "[T]": TRAINER},
        ["[R] is the only script for adapters: it is for MNLI and the small size."],
        sections,
    )


def _adapter_trainer() -> list[Entry]:
    entries = trainer_entries(0.0, "[R] leaves the default of 0")
    return [Entry(e.key, e.value, "[T]") if e.key == "decay_exempt" else e for e in entries]


def _epochs_source(task: str, row: Bottleneck) -> str:
    differs = task == "mnli" and row.suffix == "houlsby_800k"
    return "[P]; [R] has 5" if differs else "[P]"
