"""An architecture without a file works too: by module names, and by those shortcuts that a small copy allows."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PretrainedConfig,
)

from lorafit import lora
from lorafit.data.batches import pad
from lorafit.data.encoding.encode import EncodedPair
from lorafit.data.encoding.labelled import EncodedText, pad_labelled
from lorafit.decoding import Greedy, generate_all, session
from lorafit.errors import RecipeError
from lorafit.methods import AdapterTuning, LoRA, Prefix, Top2
from lorafit.models import FAMILIES, Model, family_of, load_config
from lorafit.models.families.tiny import DECODER, ROBERTA, byte_pairs, words
from lorafit.objectives.classification import label_outputs
from lorafit.run.plan import load_plan
from lorafit.training import language_model_loss_sums
from tests.conftest import CONTEXTS, e2e_rows, recipe_overrides
from tests.support.glue_recipes import write_recipe
from tests.support.tiny_encoders import sentences, write_sst2
from tests.support.tiny_models import outputs, random_model
from tests.support.unknown_models import CONFIGS, DECODERS, ENCODERS, unknown_config

VOCAB_SIZE = 29
PAIRS = [
    EncodedPair((4, 9, 1, 22), (7, 22, 3)),
    EncodedPair((13, 2, 5), (2, 8, 28, 6, 11, 19, 4, 1)),
    EncodedPair((1, 2, 3, 4, 5, 6), (19, 3)),
]
TEXTS = [
    EncodedText(tuple(ids), None, 0.0)
    for ids in ([4, 9, 1, 22, 7], [13], [2, 8, 28, 6, 19, 3, 3, 12, 5, 9, 11])
]
PROMPTS = [[4, 9, 1, 22], [7], [13, 2, 2, 8, 28, 6, 19]]

# What the structure tells: backbone, blocks, logical targets.
ALL = {"query", "key", "value", "output", "up", "down"}
STRUCTURE = {
    "opt": ("model", "decoder.layers", ALL),
    "gptj": ("transformer", "h", ALL),
    "phi": ("model", "layers", ALL),
    "bloom": ("transformer", "h", {"output", "up", "down"}),
    "starcoder2": ("model", "layers", ALL),
    "roformer": ("roformer", "encoder.layer", ALL),
    "mpnet": ("mpnet", "encoder.layer", ALL),
    "camembert": ("roberta", "encoder.layer", ALL),
    "albert": ("albert", "encoder.albert_layer_groups", {"query", "key", "value", "output"}),
}


def unknown_model(model_type: str, kind: Any = None, **changes: Any) -> Model:
    config = unknown_config(model_type, vocab_size=VOCAB_SIZE, **changes)
    return random_model(family_of(config), kind or ("text" if model_type in DECODERS else "label"), config)


def adapted(model: Model, *targets: str) -> Model:
    LoRA(r=2, alpha=4.0, targets=targets).attach(model, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.trained().values():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


def save(folder: Path, model_type: str) -> Path:
    """A base as it would lie on the hub."""
    auto: type[AutoModelForCausalLM | AutoModelForMaskedLM]
    if model_type in DECODERS:
        tokenizer, auto = byte_pairs([e2e_rows(CONTEXTS)], DECODER), AutoModelForCausalLM
    else:
        tokenizer = words([text for text, _ in sentences(48)], ROBERTA)
        auto = AutoModelForMaskedLM
    tokenizer.save_pretrained(folder)
    tokens = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, "initializer_range": 0.2}
    torch.manual_seed(0)
    auto.from_config(unknown_config(model_type, **tokens)).save_pretrained(folder)
    return folder


def test_none_of_these_has_a_file() -> None:
    assert not CONFIGS.keys() & FAMILIES.keys()
    assert CONFIGS.keys() == STRUCTURE.keys() == {*DECODERS, *ENCODERS}


@pytest.mark.parametrize("model_type", CONFIGS)
def test_the_structure_tells_where_things_are(model_type: str) -> None:
    config = unknown_config(model_type, vocab_size=VOCAB_SIZE)
    family = family_of(config)
    assert family.model_type == model_type
    assert (family.backbone, family.blocks, set(family.places)) == STRUCTURE[model_type]
    assert set(family.heads) == {"label", "labels", "score"} | ({"text"} if model_type in DECODERS else set())
    assert family.num_positions(config) == (None if model_type == "bloom" else 128)
    model = unknown_model(model_type)
    for target in family.places:
        assert len(family.sites(model.net, [target])) == family.num_blocks(model.net)


@pytest.mark.parametrize("model_type", CONFIGS)
def test_every_dropout_of_the_base_is_found(model_type: str) -> None:
    family = family_of(unknown_config(model_type))
    assert family.dropouts
    off = dict.fromkeys(family.dropouts, 0.0)
    model = unknown_model(model_type, **off)
    model.net.train()
    for name, module in model.net.get_submodule(family.backbone).named_modules():
        if isinstance(module, torch.nn.Dropout):
            assert module.p == 0.0, name


@pytest.mark.parametrize("model_type", CONFIGS)
@pytest.mark.parametrize("kind", ["label", "score"])
def test_the_head_is_what_a_bare_base_lacks(model_type: str, kind: str) -> None:
    model = unknown_model(model_type, kind)
    auto = AutoModelForCausalLM if model_type in DECODERS else AutoModelForMaskedLM
    net = auto.from_config(unknown_config(model_type))
    bare = {name for name, _ in net.named_parameters(remove_duplicate=False)}
    head = {name for name, _ in model.head_parameters()}
    assert head == {name for name, _ in model.net.named_parameters()} - bare
    assert f"{model.head.output}.weight" in head
    assert model.net.get_submodule(model.head.output).out_features == 3


@pytest.mark.parametrize("model_type", DECODERS)
def test_the_padded_loss_is_that_of_the_nets_own_logits(model_type: str) -> None:
    model = adapted(unknown_model(model_type), "all-linear")
    alone = torch.zeros(())
    for pair in PAIRS:
        logits = model.net(torch.tensor([pair.inputs(64)])).logits[0, torch.tensor(pair.target_mask(64))]
        alone = alone + F.cross_entropy(logits, torch.tensor(pair.targets(64)), reduction="sum")
    together = language_model_loss_sums(model.net, pad(PAIRS, 64, 0), [0.0])[0]
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)
    trained = model.trained()
    found, expected = (torch.autograd.grad(loss, list(trained.values())) for loss in (together, alone))
    for name, ours, theirs in zip(trained, found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3, msg=name)


@pytest.mark.parametrize("model_type", CONFIGS)
def test_labels_of_padded_texts_are_those_of_one_at_a_time(model_type: str) -> None:
    model = unknown_model(model_type, "label")
    padded = pad_labelled(TEXTS, 0)
    with torch.no_grad():
        alone = [model.net(input_ids=torch.tensor([text.ids])).logits for text in TEXTS]
        torch.testing.assert_close(label_outputs(model, padded), torch.cat(alone), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model_type", CONFIGS)
@pytest.mark.parametrize("target", ["all-linear", "by name"])
def test_what_is_adapted_merges_to_the_same_function(model_type: str, target: str) -> None:
    model = unknown_model(model_type)
    names = [
        n
        for n, m in model.net.named_modules()
        if n.startswith(model.family.backbone) and lora.Linear.adapts(m)
    ]
    adapted(model, names[0].rpartition(".")[2] if target == "by name" else target)
    assert lora.adapted_layers(model.net).keys() <= set(names)
    with torch.no_grad():
        expected = outputs(model)
        with lora.merged(model.net):
            torch.testing.assert_close(outputs(model), expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(outputs(unknown_model(model_type)), expected, atol=1e-3)


@pytest.mark.parametrize("model_type", DECODERS)
def test_decoding_is_the_plain_forward_pass(model_type: str) -> None:
    net = adapted(unknown_model(model_type), "all-linear").net
    shares_a_cache = model_type in ("phi", "starcoder2")
    assert isinstance(session.open_session(net), session.TreeSession) == shares_a_cache
    for prompt, found in zip(
        PROMPTS, generate_all(net, PROMPTS, Greedy(max_new_tokens=8, eos_token_ids=())), strict=True
    ):
        ids = list(prompt)
        for _ in range(8):
            with torch.no_grad():
                ids.append(int(net(torch.tensor([ids])).logits[0, -1].argmax()))
        assert found == ids[len(prompt) :]


@pytest.mark.parametrize("model_type", ["opt", "gptj", "starcoder2"])
def test_a_text_task_from_the_recipe_to_a_plain_model(
    model_type: str, cli: Callable[..., Any], e2e_dir: Path, tmp_path: Path
) -> None:
    base, run = save(tmp_path / "base", model_type), tmp_path / "run"
    options = recipe_overrides(
        base, e2e_dir, method__targets=["all-linear"], train__epochs=3, eval__metrics=["bleu"]
    )
    cli("train", "e2e_gpt2m", *options, "--output", run)
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [event["loss"] for event in events if event["event"] == "step"]
    assert losses[-1] < losses[0]
    cli("merge", run / "adapter", tmp_path / "merged")
    lines = [json.loads(line) for line in (run / "predictions" / "test.jsonl").read_text().splitlines()]
    net = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "merged")
    args = ("--strategy", "greedy", "--max-new-tokens", "6", "--json")
    texts = json.loads(cli("predict", run / "adapter", lines[0]["input"], *args).stdout)
    ids = [*tokenizer(lines[0]["input"]).input_ids, tokenizer.eos_token_id]
    new: list[int] = []
    with torch.no_grad():
        while len(new) < 6 and (not new or new[-1] != tokenizer.eos_token_id):
            new.append(int(net(torch.tensor([ids + new])).logits[0, -1].argmax()))
    decoded = tokenizer.decode(new, skip_special_tokens=True)
    assert isinstance(decoded, str)
    assert json.dumps(texts).count(json.dumps(decoded.strip())[1:-1])


@pytest.mark.parametrize("model_type", ["roformer", "albert", "phi"])
def test_a_label_task_from_the_recipe_to_a_plain_model(
    model_type: str, cli: Callable[..., Any], tmp_path: Path
) -> None:
    base, run = save(tmp_path / "base", model_type), tmp_path / "run"
    recipe = write_recipe(
        tmp_path / "sst2.toml",
        base,
        write_sst2(tmp_path / "glue"),
        train__epochs=6,
        method__targets=["all-linear"],
        data__max_length=64,
    )
    cli("train", recipe, "--output", run)
    cli("merge", run / "adapter", tmp_path / "merged")
    net = AutoModelForSequenceClassification.from_pretrained(tmp_path / "merged").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "merged")
    for line in (run / "predictions" / "valid.jsonl").read_text().splitlines():
        row = json.loads(line)
        given = tokenizer(row["input"]["sentence"], return_tensors="pt", return_token_type_ids=False)
        with torch.no_grad():
            answer = net(**given).logits.argmax().item()
        assert net.config.id2label[answer] == row["prediction"]


@pytest.mark.parametrize(
    ("model_type", "said"),
    [("opt", "beams do not share a cache"), ("bloom", "examples are padded"), ("starcoder2", "")],
)
def test_what_is_done_the_slow_way_is_said_in_one_note(
    model_type: str, said: str, e2e_dir: Path, tmp_path: Path
) -> None:
    base = save(tmp_path / "base", model_type)
    options = recipe_overrides(base, e2e_dir, method__targets=["all-linear"])
    plan = load_plan("e2e_gpt2m", [option for option in options if option != "--set"])
    assert len(plan.warnings) == bool(said)
    assert "".join(plan.warnings).startswith(said)


def test_a_model_type_that_transformers_has_no_net_for() -> None:
    family = family_of(PretrainedConfig.from_dict({"model_type": "nothing"}))
    assert (family.model_type, dict(family.heads), family.blocks) == ("nothing", {}, "")


@pytest.mark.parametrize("model_type", ["mamba2", "gpt_neo", "t5", "gemma3"])
def test_a_config_stays_as_it_is_while_its_family_is_found(model_type: str) -> None:
    """Mamba's holds an infinity, Gemma 3's another config."""
    config = AutoConfig.for_model(model_type)
    before = copy.deepcopy(config).to_dict()
    family = family_of(config)
    assert (family.model_type, config.to_dict()) == (model_type, before)
    assert family.heads


def test_query_of_a_fused_projection_is_refused_with_what_there_is() -> None:
    model = unknown_model("bloom")
    with pytest.raises(RecipeError, match="bloom has no 'query'; it has output, up, down, all-linear"):
        LoRA(targets=("query",)).attach(model)


@pytest.mark.parametrize(
    "method",
    [Prefix(length=2), AdapterTuning(), AdapterTuning(variant="lin"), AdapterTuning(variant="pfeiffer")],
)
def test_methods_that_must_know_more_say_so(method: Any) -> None:
    with pytest.raises(RecipeError, match=r"opt|prefix"):
        method.attach(unknown_model("opt"))


def test_the_last_blocks_are_found() -> None:
    model = unknown_model("opt")
    Top2(num_layers=1).attach(model)
    assert all(name.startswith("model.decoder.layers.1.") for name in model.trained())


def test_a_dropout_that_is_not_there_is_refused(tmp_path: Path) -> None:
    base = str(save(tmp_path / "bloom", "bloom"))
    with pytest.raises(RecipeError, match="bloom has no classification head with dropout"):
        load_config(base, head_dropout=0.1)
    assert load_config(base, dropout=0.3).hidden_dropout == 0.3
    unknown_config("camembert").save_pretrained(tmp_path / "camembert")
    assert load_config(str(tmp_path / "camembert"), head_dropout=0.2).classifier_dropout == 0.2
