"""The losses on the page of a run that writes texts are those of the rows alone, read by the merged model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer

from lorafit.metrics.shown import on_page
from lorafit.page.answers import answers
from lorafit.page.run import read_run
from lorafit.tasks import template_text
from tests.support.rows import save_rows
from tests.support.tiny_encoders import save_encoder, sentences

Run = Callable[..., Any]
FOODS = ("soup", "fish", "rice", "bread and a little butter")


@pytest.fixture(scope="module")
def base(gpt2_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny GPT-2, whose tokenizer has a chat template."""
    folder = tmp_path_factory.mktemp("base")
    AutoModelForCausalLM.from_pretrained(gpt2_base).save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(gpt2_base)
    tokenizer.chat_template = template_text("plain")
    tokenizer.save_pretrained(folder)
    return folder


def rows(task: str, count: int) -> list[dict[str, Any]]:
    """Prompts with one or two references each; conversations; texts."""
    if task == "generation":
        said = [(f"guest {i} eats", FOODS[(i + k) % 4]) for i in range(count) for k in range(1 + i % 2)]
        return [{"prompt": prompt, "completion": text} for prompt, text in said]
    if task == "text":
        return [{"text": f"guest {i} eats {FOODS[i % 4]}"} for i in range(count)]
    turns = [(f"what eats {i}?", FOODS[i % 4], "why?", f"ask {i}") for i in range(count)]
    roles = ("user", "assistant", "user", "assistant")
    return [
        {"messages": [{"role": role, "content": text} for role, text in zip(roles, each, strict=True)]}
        for each in turns
    ]


@torch.no_grad()
def loss_alone(net: Any, examples: list[dict[str, Any]]) -> float:
    """Mean negative log-likelihood over the targets of some examples, each read alone by transformers."""
    found = []
    for example in examples:
        logits = net(torch.tensor([example["input_ids"]])).logits[0].float()
        losses = F.cross_entropy(logits, torch.tensor(example["target_ids"]), reduction="none")
        found.append(losses[torch.tensor(example["target_mask"])])
    return float(torch.cat(found).mean())


@pytest.mark.parametrize(
    ("task", "metrics"),
    [
        ("generation", ("bleu",)),
        ("generation", ("bleu", "perplexity")),
        ("chat", ("perplexity",)),
        ("text", ("perplexity",)),
    ],
)
def test_the_losses_of_the_page_are_those_of_the_rows_alone(
    task: str, metrics: tuple[str, ...], cli: Run, base: Path, tmp_path: Path
) -> None:
    data = save_rows(tmp_path / "rows.jsonl", rows(task, 230))
    values = {
        "model.base": base,
        "model.dtype": "float32",
        "data.train": data,
        "data.valid": data,
        "data.max_length": 48,
        "task.metrics": json.dumps(metrics),
        "decode.num_beams": 1,
        "decode.max_new_tokens": 2,
        "train.max_steps": 3,
        "train.learning_rate": 0.05,
        "eval.batch_size": 64,
        **({"task.name": "text"} if task == "text" else {}),
    }
    recipe = "own_generation" if task == "generation" else "own_chat"
    chosen = [part for key, value in values.items() for part in ("--set", f"{key}={value}")]
    chosen += ["--unset", "task.train_on"] if task == "text" else []
    cli("train", recipe, *chosen, "--output", tmp_path / "run")
    cli("merge", tmp_path / "run" / "adapter", tmp_path / "merged")
    net = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    told = cli("data", "show", recipe, *chosen, "--split", "valid", "-n", "500", "--json").stdout
    examples = [json.loads(line) for line in told.splitlines()]
    by_prompt: dict[object, list[dict[str, Any]]] = {}
    for i, example in enumerate(examples):
        by_prompt.setdefault(example.get("context", i), []).append(example)
    items = list(by_prompt.values())
    assert len(items) == 230

    page = answers(read_run(tmp_path / "run"))
    assert page is not None
    assert page.measure == "loss"
    reads_all = "perplexity" in metrics
    measured = {*(range(230) if reads_all else on_page(230))}
    assert page.num_measured == len(measured)
    wanted = {i: loss_alone(net, items[i] if reads_all else items[i][:1]) for i in measured}
    for answer in (*page.shown, *page.worst, *page.best):
        assert answer.value == pytest.approx(wanted[answer.index], rel=1e-4)
    order = sorted(wanted.values())
    assert [answer.value for answer in page.best] == pytest.approx(order[:5], rel=1e-4)
    assert [answer.value for answer in page.worst] == pytest.approx(order[:-6:-1], rel=1e-4)


LABELLED: dict[str, dict[str, Any]] = {
    "classification": {"label": ("good", "bad", "so")},
    "multilabel": {"label": (["good"], [], ["good", "bad"])},
    "regression": {"label": (1.5, 2.0, 4.0)},
}


@pytest.mark.parametrize("task", LABELLED)
def test_the_mean_of_the_losses_of_all_rows_is_the_validation_loss(
    task: str, cli: Run, tmp_path: Path
) -> None:
    base, labels = save_encoder(tmp_path / "base", "roberta"), LABELLED[task]["label"]
    texts = [f"{text} {i}" for i, (text, _) in enumerate(sentences(60))]
    data = save_rows(
        tmp_path / "rows.jsonl", [{"text": text, "label": labels[i % 3]} for i, text in enumerate(texts)]
    )
    values = {
        "model": {"base": str(base), "dtype": "float32"},
        "method": {"name": "lora", "r": 2, "alpha": 4, "targets": ["query"]},
        "task": {"name": task, "text": "text", "label": "label"},
        "data": {"train": str(data), "valid": str(data), "max_length": 32},
        "train": {"max_steps": 4, "batch_size": 8, "learning_rate": 0.01},
    }
    recipe = tmp_path / "mine.toml"
    recipe.write_text(tomli_w.dumps(values))
    cli("train", recipe, "--output", tmp_path / "run")
    run = read_run(tmp_path / "run")
    page = answers(run)
    assert page is not None
    assert page.measure == "loss"
    losses = [answer.value for answer in page.shown if answer.value is not None]
    assert len(losses) == 60
    assert sum(losses) / 60 == pytest.approx(run.best_validation["loss"], rel=1e-3)
