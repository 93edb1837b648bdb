"""The recipes of the record: a few steps on a tiny base, by every method for every kind of task it exists for."""

from __future__ import annotations

from typing import Any

from tests.support.same_numbers.place import Recipe

LORA: dict[str, Any] = {"name": "lora", "r": 4, "alpha": 8}
FULL: dict[str, Any] = {"name": "full"}
TOP2: dict[str, Any] = {"name": "top2", "num_layers": 1}
BITFIT: dict[str, Any] = {"name": "bitfit"}


def adapter(variant: str, **more: Any) -> dict[str, Any]:
    """An adapter method."""
    return {"name": "adapter", "variant": variant, "size": 4, **more}


def prefix(variant: str, hidden: int) -> dict[str, Any]:
    """A prefix method."""
    return {"name": "prefix", "variant": variant, "length": 3, "hidden": hidden}


# A large epsilon: where a gradient is nothing but rounding, Adam does not blow it up, so that another CPU comes to
# nearly the same parameters.
_TRAIN: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 6,
    "learning_rate": 0.01,
    "weight_decay": 0.01,
    "adam_epsilon": 1e-4,
    "seed": 3,
    "log_every": 1,
}


def text(method: dict[str, Any], base: str = "gpt2", task: str = "e2e", **changes: Any) -> Recipe:
    """A generation task on a decoder."""
    data = {"e2e": "e2e", "dart": "triples", "webnlg": "triples"}[task]
    return _changed(
        {
            "model": {"base": f"bases/{base}", "dtype": "float32", "dropout": 0.0},
            "method": dict(method),
            "task": {"name": task},
            "data": {"dir": f"data/{data}", "max_length": 120},
            "train": {**_TRAIN, "warmup_steps": 2},
            "decode": {"num_beams": 3, "max_new_tokens": 8, "eos_token_ids": [0]},
            "eval": {"metrics": ["bleu", "rouge_l"], "batch_size": 2},
        },
        changes,
    )


def label(method: dict[str, Any], base: str = "roberta", task: str = "cola", **changes: Any) -> Recipe:
    """A task with labels (cola, rte, mnli) or with a score (stsb) on an encoder."""
    return _changed(
        {
            "model": {"base": f"bases/{base}", "dtype": "float32", "dropout": 0.0, "head_dropout": 0.0},
            "method": dict(method),
            "task": {"name": task},
            "data": {"dir": "data/glue", "max_length": 90},
            "train": {**_TRAIN, "epochs": 3, "learning_rate": 0.03, "warmup_ratio": 0.1},
        },
        changes,
    )


def _changed(recipe: Recipe, changes: dict[str, Any]) -> Recipe:
    """`changes`: section__key=value."""
    for name, value in changes.items():
        section, key = name.split("__")
        recipe[section][key] = value
    return recipe


EVERY_METHOD: dict[str, Recipe] = {
    "text_lora": text(LORA),
    "text_full": text(FULL),
    "text_top2": text(TOP2),
    "text_bitfit": text(BITFIT),
    "text_adapter_houlsby": text(adapter("houlsby")),
    "text_adapter_lin": text(adapter("lin")),
    "text_prefix_layer": text(prefix("layer", 8)),
    "text_prefix_embedding": text(prefix("embedding", 8)),
    "label_lora": label(LORA),
    "label_full": label(FULL),
    "label_top2": label(TOP2),
    "label_bitfit": label(BITFIT),
    "label_adapter_houlsby": label(adapter("houlsby")),
    "label_adapter_pfeiffer": label(adapter("pfeiffer")),
    "label_adapter_adapterdrop": label(adapter("adapterdrop", drop_layers=1)),
    "label_prefix_layer": label(prefix("layer", 8)),
    "regression_lora": label(LORA, "bert", "stsb"),
    "regression_full": label(FULL, "deberta-v2", "stsb"),
    "regression_top2": label(TOP2, "bert", "stsb"),
    "regression_bitfit": label(BITFIT, "deberta-v2", "stsb"),
    "regression_adapter_houlsby": label(adapter("houlsby"), "deberta-v2", "stsb"),
    "regression_adapter_pfeiffer": label(adapter("pfeiffer"), "bert", "stsb"),
    "regression_adapter_adapterdrop": label(adapter("adapterdrop"), "deberta-v2", "stsb"),
    "regression_prefix_layer": label(prefix("layer", 0), "bert", "stsb"),
}

_ALL_PARTS: dict[str, Any] = LORA | {"targets": ["query", "key", "value", "output", "up", "down"]}

EVERY_ARCHITECTURE: dict[str, Recipe] = {
    "llama": text(_ALL_PARTS, "llama"),
    "llama_full": text(FULL, "llama"),
    "llama_prefix": text(prefix("layer", 0), "llama"),
    "llama_prefix_embedding": text(prefix("embedding", 0), "llama"),
    "mistral": text(LORA, "mistral"),
    "qwen2": text(LORA, "qwen2"),
    "qwen2_bitfit": text(BITFIT, "qwen2"),
    "qwen3": text(LORA, "qwen3"),
    "xlm_roberta": label(LORA, "xlm-roberta"),
    "bert_mnli": label(_ALL_PARTS, "bert", "mnli"),
    "deberta_mnli": label(LORA, "deberta-v2", "mnli"),
    "roberta_rte": label(_ALL_PARTS, "roberta", "rte"),
}

EVERY_OPTION: dict[str, Recipe] = {
    "micro_batches": text(LORA, train__micro_batch_size=2, train__max_grad_norm=0.5),
    "label_micro_batches": label(LORA, "deberta-v2", train__micro_batch_size=2, train__max_grad_norm=0.5),
    "label_smoothing": text(LORA, train__label_smoothing=0.1, train__decay_exempt="bias_and_norm"),
    "last_batch_fill": text(LORA, train__last_batch="fill", train__batch_size=4),
    "last_batch_drop": label(LORA, train__last_batch="drop", train__batch_size=4, train__shuffle=False),
    "bucketed": text(LORA, train__batch_order="bucketed", train__batch_size=4),
    "label_bucketed": label(LORA, train__batch_order="bucketed", train__batch_size=4),
    "gradient_checkpointing": text(LORA, train__gradient_checkpointing=True),
    "label_gradient_checkpointing": label(LORA, train__gradient_checkpointing=True),
    "paper_init": text(LORA | {"init": "paper-gpt2"}, train__adam_beta1=0.8, train__adam_beta2=0.99),
    "gaussian_init": text(LORA | {"init": "gaussian", "targets": ["key", "*.mlp.c_fc", "transformer.wte"]}),
    "query_and_key": text(LORA | {"targets": ["query", "key"]}),
    "short_rows": text(LORA, data__max_length=40, data__on_long_row="cut", train__max_steps=4),
    "scored_base": text(LORA, eval__score_base=True),
    "bfloat16": text(LORA, model__dtype="bfloat16"),
    "other_beams": text(
        LORA, decode__num_beams=4, decode__length_penalty=0.8, decode__no_repeat_ngram_size=2
    ),
    "dart": text(LORA, task="dart", eval__metrics=["bleu", "ter"]),
    "webnlg": text(LORA, task="webnlg", eval__metrics=["bleu", "chrf"]),
    "full_decay_exempt": label(FULL, train__decay_exempt="bias_and_norm", train__max_grad_norm=1.0),
}

# A run that starts from another one's adapter: its own recipe, and the name of the other.
WARM_STARTS: dict[str, tuple[Recipe, str]] = {
    "warm_roberta": (label(LORA, task="rte", method__init_from="out/label_lora/adapter"), "label_lora"),
    "warm_deberta": (
        label(LORA, "deberta-v2", "stsb", method__init_from="out/deberta_mnli/adapter"),
        "deberta_mnli",
    ),
    "warm_text": (text(LORA, train__init_from="out/text_lora/adapter", train__seed=4), "text_lora"),
    "warm_bitfit": (label(BITFIT, train__init_from="out/label_bitfit/adapter"), "label_bitfit"),
}

_DROPOUT: dict[str, Any] = LORA | {"dropout": 0.2}
_BASE: dict[str, Any] = {"model__dropout": 0.1}
_HEAD: dict[str, Any] = {"model__dropout": 0.1, "model__head_dropout": 0.1}

WITH_DROPOUT: dict[str, Recipe] = {
    "dropout_text_lora": text(_DROPOUT),
    "dropout_text_base": text(_DROPOUT, **_BASE, train__micro_batch_size=2),
    "dropout_text_full": text(FULL, **_BASE),
    "dropout_text_adapter": text(adapter("lin"), **_BASE),
    "dropout_text_prefix": text(prefix("layer", 8), **_BASE),
    "dropout_text_checkpointing": text(_DROPOUT, **_BASE, train__gradient_checkpointing=True),
    "dropout_llama": text(_DROPOUT, "llama", **_BASE),
    "dropout_label_lora": label(_DROPOUT, **_HEAD),
    "dropout_label_full": label(FULL, **_HEAD),
    "dropout_label_houlsby": label(adapter("houlsby"), **_HEAD),
    "dropout_label_adapterdrop": label(adapter("adapterdrop", drop_at_random=True), **_HEAD),
    "dropout_label_bert": label(_DROPOUT, "bert", "mnli", **_HEAD),
    "dropout_regression_deberta": label(_DROPOUT, "deberta-v2", "stsb", **_HEAD),
    "dropout_own_of_base": {
        **label(LORA, "bert", "rte"),
        "model": {"base": "bases/bert"},  # its config's own: 0.1
    },
}

_LONG: dict[str, Any] = {"train__epochs": 4, "train__checkpoint_every": 2, "train__micro_batch_size": 2}

# Trained in one process, and in two.
IN_PROCESSES: dict[str, Recipe] = {"long_text": text(LORA, **_LONG), "long_label": label(LORA, **_LONG)}
IN_PROCESSES_WITH_DROPOUT: dict[str, Recipe] = {"long_dropout": text(_DROPOUT, **_LONG, **_BASE)}

# Also cut off and resumed: by which signal.
INTERRUPTED = {"long_text": "SIGUSR1", "long_dropout": "SIGKILL"}

TRAINED: dict[str, Recipe] = (
    IN_PROCESSES | IN_PROCESSES_WITH_DROPOUT | EVERY_METHOD | EVERY_ARCHITECTURE | EVERY_OPTION | WITH_DROPOUT
)
