"""A text begins as its tokenizer says, and ends with every token that the base's tokenizer and configs name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lorafit.data import TextRow
from lorafit.errors import NotFoundError
from lorafit.models import Model, family_of, load_base, load_config
from lorafit.objectives import AnswerOptions, BaseFacts, Generation, Settings, objective_for
from lorafit.recipe import DataSection, DecodeSection, EvalSection
from lorafit.tasks import make_task
from lorafit.training import ProcessGroup

ROW = TextRow("name : The Vaults", "The Vaults is a pub")
NUM_NEW = 8


def loaded(base: Path) -> Model:
    model = load_base(load_config(str(base)), str(base), None, "text")
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.net.parameters():
            parameter.normal_(std=0.3)
    return model


def objective(base: Path, task: str = "e2e", decode: DecodeSection | None = None) -> Generation:
    config = load_config(str(base))
    decode = decode or DecodeSection(num_beams=1, max_new_tokens=NUM_NEW)
    settings = Settings(DataSection(max_length=64), decode, EvalSection(metrics=("bleu",)))
    made = objective_for(make_task(task), BaseFacts(config, family_of(config)), settings)
    assert isinstance(made, Generation)
    return made


def written(model: Model, base: Path, decode: DecodeSection | None = None) -> str:
    answers = objective(base, decode=decode).answers(
        model, [ROW], AnswerOptions(batch_size=1), ProcessGroup()
    )
    return str(dict(answers)[0].value)


def greedy_ids(model: Model, prompt: list[int]) -> list[int]:
    ids = list(prompt)
    with torch.no_grad():
        while len(ids) < len(prompt) + NUM_NEW:
            ids.append(int(model.net(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt) :]


@pytest.mark.parametrize("task", ["e2e", "dart", "webnlg", "generation"])
@pytest.mark.parametrize(("model_type", "starts"), [("gpt2", False), ("qwen3", False), ("gemma3_text", True)])
def test_a_prompt_begins_as_its_tokenizer_says(
    model_type: str, starts: bool, task: str, make_base: Callable[..., Path]
) -> None:
    """The paper's ids on GPT-2, and `<bos>` before them on Gemma."""
    base = make_base(model_type)
    model = loaded(base)
    tokenizer = model.require_tokenizer()
    (example,) = objective(base, task).encoder(tokenizer).encode([ROW]).examples
    words = tokenizer(ROW.prompt, add_special_tokens=False)["input_ids"]
    end = [] if task == "generation" else [tokenizer.eos_token_id]
    assert list(example.prompt_ids) == ([tokenizer.bos_token_id] if starts else []) + words + end
    found = objective(base, task)._prompt_ids(model, [ROW.prompt])
    assert found == [list(example.prompt_ids)]  # what decoding begins with


def test_any_of_the_end_tokens_of_generation_config_ends_a_text(make_base: Callable[..., Path]) -> None:
    base = make_base("gemma3_text", tie_word_embeddings=False)
    model = loaded(base)
    tokenizer = model.require_tokenizer()
    prompt = objective(base)._prompt_ids(model, [ROW.prompt])[0]
    ids = greedy_ids(model, prompt)
    unlike = next(i for i in range(1, NUM_NEW) if ids[i] not in ids[:i] and ids[i] != tokenizer.eos_token_id)
    path = base / "generation_config.json"
    path.write_text(
        json.dumps({"eos_token_id": [tokenizer.eos_token_id, tokenizer.pad_token_id, ids[unlike]]})
    )
    model = loaded(base)
    assert model.end_tokens() == (tokenizer.eos_token_id, tokenizer.pad_token_id, ids[unlike])
    expected = str(tokenizer.decode(ids[:unlike])).strip()
    assert written(model, base) == expected
    assert written(model, base, DecodeSection(num_beams=3, max_new_tokens=NUM_NEW)) != ""


def test_a_word_that_shall_end_texts_stays_in_them(make_base: Callable[..., Path]) -> None:
    """`decode.eos_token_ids` may name a full stop."""
    base = make_base("gemma3_text", tie_word_embeddings=False)
    model = loaded(base)
    prompt = objective(base)._prompt_ids(model, [ROW.prompt])[0]
    ids = greedy_ids(model, prompt)
    decode = DecodeSection(num_beams=1, max_new_tokens=NUM_NEW, eos_token_ids=(ids[0],))
    assert written(model, base, decode) == str(model.require_tokenizer().decode(ids[:1])).strip()


@pytest.mark.parametrize(
    ("said", "ends"), [(1, (1,)), ([1, 0], (1, 0)), (77, (1,)), ([2, 77], (1, 2)), (None, (1,))]
)
def test_a_config_names_end_tokens_that_the_tokenizer_knows(
    said: int | list[int] | None, ends: tuple[int, ...], make_base: Callable[..., Path]
) -> None:
    """77 is a word: the default of a config's class may be anything."""
    base = make_base("gemma", eos_token_id=said)
    (base / "generation_config.json").unlink()
    assert loaded(base).end_tokens() == ends


def test_where_nothing_ends_a_text_it_is_said(make_base: Callable[..., Path]) -> None:
    base = make_base("gemma", eos_token_id=None)
    model = loaded(base)
    model.require_tokenizer().eos_token = None
    with pytest.raises(NotFoundError, match="which token ends a text"):
        model.end_tokens()
