"""Conversations and plain texts through the command line: look, train, score, predict, merge; a user's mistakes."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lorafit.models import FAMILIES
from lorafit.tasks import template_text

Run = Callable[..., Any]
NAMES, FOODS = ("Anna", "Bert", "Carl", "Dora", "Emil", "Frida"), ("soup", "fish", "rice")


def conversations() -> list[dict[str, Any]]:
    turns = [
        [
            ("user", f"What does {name} eat?"),
            ("assistant", f"{food}."),
            ("user", "Why?"),
            ("assistant", "Ask."),
        ]
        for name in NAMES
        for food in FOODS
    ]
    return [{"messages": [{"role": role, "content": text} for role, text in each]} for each in turns]


@pytest.fixture(scope="module")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("chats") / "chats.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in conversations()))
    return path


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama whose tokenizer has ChatML's tokens and template, large enough for its opinions to differ."""
    folder = tmp_path_factory.mktemp("base")
    tokenizer = FAMILIES["llama"].tiny_tokenizer([json.dumps(conversations())])
    tokenizer.add_tokens(["<|im_start|>", "<|im_end|>"], special_tokens=True)
    tokenizer.chat_template = template_text("chatml")
    tokenizer.save_pretrained(folder)
    sizes: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 128,
        "initializer_range": 0.3,
    }
    torch.manual_seed(0)
    net = AutoModelForCausalLM.from_config(FAMILIES["llama"].tiny_config(**sizes))
    net.generation_config.eos_token_id = [7, tokenizer.eos_token_id]
    net.save_pretrained(folder)
    return folder


def with_rowless(base: Path, folder: Path, token: str | None) -> Path:
    """The base, whose tokenizer gets a token that the embedding has no row for; without one, it lacks <|im_end|>."""
    shutil.copytree(base, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if token is not None:
        tokenizer.add_tokens([token])
        tokenizer.save_pretrained(folder)
        return folder
    net = AutoModelForCausalLM.from_pretrained(folder)
    net.resize_token_embeddings(len(tokenizer) - 1)
    net.save_pretrained(folder)
    return folder


def settings(base: Path, train: Path, **more: Any) -> list[str]:
    values = {"model.base": base, "data.train": train, "train.learning_rate": 0.02, "train.log_every": 1}
    values |= {"data.max_length": 64, "decode.max_new_tokens": 8, "train.epochs": 2}
    values |= {key.replace("__", "."): value for key, value in more.items()}
    return [part for key, value in values.items() for part in ("--set", f"{key}={value}")]


def test_conversations_become_a_model_that_answers(cli: Run, base: Path, chats: Path, tmp_path: Path) -> None:
    chosen = settings(base, chats, data__valid=0.3)
    shown = cli("data", "show", "own_chat", *chosen, "-n", "1", "--json").stdout
    [row] = [json.loads(line) for line in shown.splitlines()]
    assert [piece["text"] for piece in row["pieces"] if piece["learned"]] == [
        "soup.<|im_end|>",
        "Ask.<|im_end|>",
    ]
    run = tmp_path / "run"
    done = cli("train", "own_chat", *chosen, "--output", run)
    assert "perplexity" in done.stdout
    lines = [json.loads(line) for line in (run / "predictions" / "valid.jsonl").read_text().splitlines()]
    assert all(line["references"] == ["Ask."] and line["input"][-1]["content"] == "Why?" for line in lines)
    scores = json.loads((run / "scores.json").read_text())["scores"]
    losses, counts = zip(*((line["loss"], line["num_targets"]) for line in lines), strict=True)
    mean = sum(loss * count for loss, count in zip(losses, counts, strict=True)) / sum(counts)
    assert scores["perplexity"] == pytest.approx(math.exp(mean))
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    best = min(event["loss"] for event in events if event["event"] == "validation")
    assert mean == pytest.approx(best, abs=1e-5)
    again = json.loads(cli("score", "chat", run / "predictions" / "valid.jsonl", "--json").stdout)["scores"]
    assert again == {name: value for name, value in scores.items() if name != "perplexity"}
    adapter = run / "adapter"
    assert "perplexity" in cli("eval", adapter, "--split", "valid", "--json").stdout
    assert cli("predict", adapter, "What does Anna eat?").stdout.strip() != ""
    cli("merge", adapter, tmp_path / "merged")
    assert AutoTokenizer.from_pretrained(tmp_path / "merged").chat_template == template_text("chatml")


def test_passages_of_a_plain_file_are_learned_whole(cli: Run, base: Path, tmp_path: Path) -> None:
    book = tmp_path / "book.txt"
    paragraphs = [f"{name} ate {food}. " * 40 for name in NAMES for food in FOODS]
    book.write_text("\n\n".join(paragraphs))
    chosen = settings(base, book, task__name="text", data__max_length=32, train__max_steps=2, data__valid=0.5)
    shown = cli("data", "show", "own_chat", "--unset", "task.train_on", *chosen, "-n", "2").stdout
    assert "texts are cut into" in shown
    done = cli("train", "own_chat", "--unset", "task.train_on", *chosen, "--output", tmp_path / "run")
    assert "perplexity" in done.stdout
    tokenizer = AutoTokenizer.from_pretrained(base)
    rows = [
        json.loads(line)
        for line in (tmp_path / "run" / "predictions" / "valid.jsonl").read_text().splitlines()
    ]
    for row in rows:
        count = len(tokenizer(row["input"], add_special_tokens=False)["input_ids"])
        assert row["num_targets"] in (count - 1, count)  # the last passage ends the text


def test_what_a_user_gets_wrong(cli: Run, base: Path, gpt2_base: Path, chats: Path, tmp_path: Path) -> None:
    untaught = cli("data", "show", "own_chat", *settings(gpt2_base, chats), code=2).stderr
    assert "its tokenizer has no chat template; use --set task.template=chatml" in untaught
    added = cli("data", "show", "own_chat", *settings(gpt2_base, chats, task__template="chatml")).stdout
    assert "⟦ soup.<|im_end|>⟧" in added.replace("⟦soup", "⟦ soup")
    crowded = with_rowless(gpt2_base, tmp_path / "crowded", "<|extra|>")
    no_room = cli(
        "data", "show", "own_chat", *settings(crowded, chats, task__template="chatml"), code=2
    ).stderr
    assert "it needs <|im_start|> and <|im_end|>, which the tokenizer of" in no_room
    assert "--set task.template=plain" in no_room
    plain = cli("data", "show", "own_chat", *settings(gpt2_base, chats, task__template="plain")).stdout
    assert "⟦ soup.<|endoftext|>⟧" in plain
    thinks = tmp_path / "thinks.jsonl"
    row = conversations()[0]
    row["messages"][1]["reasoning_content"] = "hm"
    thinks.write_text(json.dumps(conversations()[1]) + "\n" + json.dumps(row) + "\n")
    refused = cli("train", "own_chat", "--unset", "data.valid", *settings(base, thinks), code=3).stderr
    assert f"{thinks}:2: the chat template of" in refused
    assert "no place for tools and thinking" in refused


def test_a_merged_model_knows_the_template_that_it_was_taught(
    cli: Run, gpt2_base: Path, chats: Path, tmp_path: Path
) -> None:
    chosen = settings(gpt2_base, chats, task__template="plain", train__max_steps=3)
    cli("train", "own_chat", "--unset", "data.valid", *chosen, "--output", tmp_path / "run")
    cli("merge", tmp_path / "run" / "adapter", tmp_path / "merged")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "merged")
    messages = [{"role": "user", "content": "What does Anna eat?"}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == "User: What does Anna eat?\nAssistant:"


@pytest.mark.parametrize("says_how_it_writes", [True, False])
def test_a_merged_model_ends_its_turns_where_lorafit_does(
    cli: Run, base: Path, chats: Path, tmp_path: Path, says_how_it_writes: bool
) -> None:
    """With the base's own settings for writing, or where it has none; neither names <|im_end|>."""
    mine = shutil.copytree(base, tmp_path / "base")
    if not says_how_it_writes:
        (mine / "generation_config.json").unlink()
    chosen = settings(mine, chats, train__epochs=6)
    cli("train", "own_chat", "--unset", "data.valid", *chosen, "--output", tmp_path / "run")
    question = conversations()[0]["messages"][:1]
    written = cli("predict", tmp_path / "run" / "adapter", question[0]["content"]).stdout.strip()
    cli("merge", tmp_path / "run" / "adapter", tmp_path / "merged")
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path / "merged")
    net: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    ends = net.generation_config.eos_token_id
    assert {tokenizer.convert_tokens_to_ids("<|im_end|>"), tokenizer.eos_token_id} <= {*ends}
    assert (7 in ends) == says_how_it_writes
    prompt = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_tensors="pt")
    [ids] = net.generate(**prompt, max_new_tokens=40, do_sample=False, pad_token_id=0)
    answer = ids[prompt["input_ids"].shape[1] :]
    assert len(answer) < 40
    assert tokenizer.decode(answer, skip_special_tokens=True).strip() == written


def test_conversations_that_the_template_does_not_take_are_left_out_of_every_split(
    cli: Run, base: Path, tmp_path: Path
) -> None:
    """Every second row thinks, for which the template has no place."""
    path, rows = tmp_path / "mixed.jsonl", conversations()
    for row in rows[::2]:
        row["messages"][1]["reasoning_content"] = "hm"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    chosen = settings(base, path, data__valid=path, data__on_bad_row="skip", train__epochs=1)
    run = tmp_path / "run"
    done = cli("train", "own_chat", *chosen, "--output", run).stdout
    assert f"{len(rows) // 2} of {len(rows)} conversations are left out" in done
    lines = (run / "predictions" / "valid.jsonl").read_text().splitlines()
    assert len(lines) == len(rows) // 2
    again = cli("eval", run / "adapter", "--split", "valid", "--output", tmp_path / "eval")
    assert "rows cannot be predicted, and are left out" in again.stdout + again.stderr


def test_what_does_not_fit_is_said_and_steps_count_examples(
    cli: Run, base: Path, chats: Path, tmp_path: Path
) -> None:
    short = settings(base, chats, data__max_length=20, data__valid=0.3, decode__max_new_tokens=120)
    planned = cli("train", "own_chat", *short, "--dry-run").stdout
    assert "training examples are cut to 20 tokens; the longest has" in planned
    assert "perplexity: " in planned
    assert "lose their beginning to fit into 8 tokens before 120 new ones" in planned
    book = tmp_path / "book.txt"
    book.write_text("Anna ate soup. " * 100)
    chosen = settings(base, book, task__name="text", data__max_length=16, train__epochs=1)
    unset = ("--unset", "task.train_on", "--unset", "data.valid")
    planned = cli("train", "own_chat", *unset, *chosen, "--set", "train.batch_size=1", "--dry-run").stdout
    num_examples = int(planned.split("texts are cut into ")[1].split()[0].replace(",", ""))
    assert num_examples > 1
    assert f"optimizer steps: {num_examples}," in planned


def test_a_token_without_a_row_is_refused_in_conversations_and_texts(
    cli: Run, base: Path, chats: Path, tmp_path: Path
) -> None:
    lacking = with_rowless(base, tmp_path / "lacking", None)
    refused = cli("train", "own_chat", *settings(lacking, chats, data__valid=0.3), code=3).stderr
    assert "the token '<|im_end|>'" in refused
    assert "it stands in every text" in refused
    more = with_rowless(base, tmp_path / "more", "<zz>")
    rows = conversations()
    rows[1]["messages"][0]["content"] += " <zz>"
    path, book = tmp_path / "rows.jsonl", tmp_path / "book.txt"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    book.write_text("Anna ate <zz>.")
    unset = ("--unset", "data.valid")
    refused = cli("train", "own_chat", *unset, *settings(more, path), code=3).stderr
    assert "training example 2: the token '<zz>'" in refused
    chosen = settings(more, book, task__name="text")
    refused = cli("train", "own_chat", "--unset", "task.train_on", *unset, *chosen, code=3).stderr
    assert "training example 1: the token '<zz>'" in refused


def test_a_reference_with_a_token_without_a_row_has_no_loss_and_no_perplexity(
    cli: Run, base: Path, tmp_path: Path
) -> None:
    more = with_rowless(base, tmp_path / "more", "<zz>")
    rows = [{"prompt": f"What does {name} eat?", "completion": food} for name in NAMES for food in FOODS]
    train, test = tmp_path / "rows.jsonl", tmp_path / "test.jsonl"
    train.write_text("".join(json.dumps(row) + "\n" for row in rows))
    test.write_text("".join(json.dumps({**row, "completion": "<zz>"}) + "\n" for row in rows[:1] + rows[3:4]))
    chosen = settings(more, train, data__valid=0.5, data__test=test, train__max_steps=1)
    metrics = ("--set", 'task.metrics=["perplexity"]')
    refused = cli("train", "own_generation", *chosen, *metrics, "--output", tmp_path / "no", code=3).stderr
    assert "row 1: the token '<zz>'" in refused
    cli("train", "own_generation", *chosen, "--output", tmp_path / "run")
    lines = (tmp_path / "run" / "predictions" / "test.jsonl").read_text().splitlines()
    assert [json.loads(line).keys() for line in lines] == [{"input", "references", "prediction"}] * 2
