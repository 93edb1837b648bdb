"""What every family in the registry must keep to: its places, its heads, its shortcuts, its tiny model."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor
from transformers.cache_utils import DynamicCache

from lorafit import lora
from lorafit.data.batches import pack, pad
from lorafit.data.encoding.encode import EncodedPair, start_of_text
from lorafit.data.encoding.labelled import EncodedText, pack_labelled, pad_labelled
from lorafit.decoding import BeamSearch, Greedy, generate_all, session
from lorafit.lora import Draws, draw_from
from lorafit.methods import Full, LoRA
from lorafit.metrics import Kind
from lorafit.models import FAMILIES, Model, load_base, load_config, take_packed_rows
from lorafit.models.families import TESTED_TRANSFORMERS, Place
from lorafit.objectives.classification import label_outputs
from lorafit.training import label_loss_sum, language_model_loss_sums
from tests.support.tiny_models import DECODERS, outputs, tiny_model

WINDOW: dict[str, Any] = {
    "sliding_window": 4,
    "use_sliding_window": True,
    "max_window_layers": 1,  # Qwen: from layer 1 on
}
WINDOWED = [name for name in FAMILIES if hasattr(FAMILIES[name].tiny_config(), "sliding_window")]
GIVING_LABELS = [name for name, family in FAMILIES.items() if "label" in family.heads]
KINDS = [(name, kind) for name, family in FAMILIES.items() for kind in family.heads]
PLACES = [(name, target) for name, family in FAMILIES.items() for target in (*family.places, "all-linear")]

PAIRS = [
    EncodedPair((4, 9, 1, 22), (7, 22, 3)),
    EncodedPair((13, 2, 5), (2, 8, 28, 6, 11, 19, 4, 1)),
    EncodedPair((1, 2, 3, 4, 5, 6), (19, 3)),
]
TEXTS = [
    EncodedText(tuple(ids), None, float(label))
    for ids, label in (([4, 9, 1, 22, 7], 0), ([13], 1), ([2, 8, 28, 6, 19, 3, 3, 12, 5, 9, 11], 2))
]
PROMPTS = [[4, 9, 1, 22], [7], [13, 2, 2, 8, 28, 6, 19], [25, 1, 10]]


def adapted(model: Model, *targets: str) -> Model:
    """With LoRA that does something."""
    usual = ("query", "value") if "query" in model.family.places else ("all-linear",)
    LoRA(r=2, alpha=4.0, targets=targets or usual).attach(model, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.trained().values():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


def gradients(model: Model, loss: Tensor) -> dict[str, Tensor]:
    trained = model.trained()
    return dict(zip(trained, torch.autograd.grad(loss, list(trained.values())), strict=True))


def text_loss(model: Model, pairs: list[EncodedPair], *, packed: bool) -> Tensor:
    batch = pack(pairs, 64) if packed else pad(pairs, 64, 0)
    return language_model_loss_sums(model.net, batch, [0.0])[0]


def label_loss(model: Model, texts: list[EncodedText], *, packed: bool) -> Tensor:
    first = model.family.first_position(model.net.config)
    batch = pack_labelled(texts, first) if packed else pad_labelled(texts, 0)
    return label_loss_sum(label_outputs(model, batch), batch.labels, 0.0)


def loss_of(model: Model, which: slice, *, packed: bool) -> Tensor:
    if model.output == "text":
        return text_loss(model, PAIRS[which], packed=packed)
    return label_loss(model, TEXTS[which], packed=packed)


@pytest.mark.parametrize("model_type", FAMILIES)
def test_the_registry_knows_each_family_by_its_own_name(model_type: str) -> None:
    family = FAMILIES[model_type]
    assert family.model_type == model_type == family.tiny_config().model_type
    for_labels = {"label", "labels", "score"}
    assert family.heads.keys() in ({"text", *for_labels}, {"text"}, for_labels)


@pytest.mark.parametrize("model_type", FAMILIES)
def test_a_tiny_model_loads_and_learns(model_type: str, make_base: Callable[..., Path]) -> None:
    base = str(make_base(model_type))
    for kind in FAMILIES[model_type].heads:
        config = load_config(base, num_labels={"label": 3, "labels": 3, "score": 1}.get(kind), dropout=0.0)
        model = load_base(config, base, None, kind)
        Full().attach(model)
        optimizer = torch.optim.AdamW(model.trained().values(), lr=0.01)
        losses = []
        for _ in range(12):
            loss = loss_of(model, slice(None), packed=False)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        assert losses[-1] < 0.7 * losses[0], kind


@pytest.mark.parametrize(("model_type", "target"), PLACES)
def test_every_place_exists_and_what_is_adapted_there_merges_to_the_same_function(
    model_type: str, target: str
) -> None:
    bare = tiny_model(model_type)
    family = bare.family
    sites = family.sites(bare.net, [target])
    if target != "all-linear":
        assert len(sites) == bare.net.config.num_hidden_layers
        assert {site.name.rpartition(f"{family.block_prefix(bare.net)}.")[2][0] for site in sites} == set(
            "012"
        )
    model = adapted(tiny_model(model_type), target)
    with torch.no_grad():
        expected = outputs(model)
        with lora.merged(model.net):
            torch.testing.assert_close(outputs(model), expected, atol=1e-4, rtol=1e-4)
        assert not torch.allclose(outputs(bare), expected, atol=1e-3)


@pytest.mark.parametrize("model_type", FAMILIES)
def test_all_linear_is_every_linear_layer_but_the_heads(model_type: str) -> None:
    for kind in FAMILIES[model_type].heads:
        model = tiny_model(model_type, kind)
        head = {name for name, _ in model.net.named_parameters() if model.is_head(name)} | {"lm_head.weight"}
        every = {
            n for n, m in model.net.named_modules() if lora.Linear.adapts(m) and f"{n}.weight" not in head
        }
        assert {site.name for site in model.family.sites(model.net, ["all-linear"])} == every


@pytest.mark.parametrize(("model_type", "kind"), KINDS)
def test_padded_and_packed_losses_and_gradients_are_those_of_one_at_a_time(
    model_type: str, kind: Kind
) -> None:
    model = adapted(tiny_model(model_type, kind))
    alone = torch.stack([loss_of(model, slice(i, i + 1), packed=False) for i in range(3)]).sum()
    expected = gradients(model, alone)
    ways = [False, True] if model.family.pluggable_attention else [False]
    for packed in ways:
        if packed:
            take_packed_rows(model.net)
        loss = loss_of(model, slice(None), packed=packed)
        torch.testing.assert_close(loss, alone, rtol=1e-5, atol=1e-5)
        for name, gradient in gradients(model, loss).items():
            torch.testing.assert_close(gradient, expected[name], rtol=1e-3, atol=1e-3, msg=name)


@pytest.mark.parametrize("model_type", GIVING_LABELS)
def test_a_label_head_gives_the_logits_of_transformers(model_type: str) -> None:
    model = tiny_model(model_type, "label")
    plain = [model.net(input_ids=torch.tensor([text.ids])).logits for text in TEXTS]
    packs = model.family.pluggable_attention
    with torch.no_grad():
        padded = label_outputs(model, pad_labelled(TEXTS, 0))
        if packs:
            take_packed_rows(model.net)
            first = model.family.first_position(model.net.config)
            packed = label_outputs(model, pack_labelled(TEXTS, first))
            torch.testing.assert_close(packed, padded, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(padded, torch.cat(plain), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("model_type", GIVING_LABELS)
def test_padding_at_the_end_of_a_text_is_passed_over_as_in_transformers(model_type: str) -> None:
    model = tiny_model(model_type, "label")
    texts = [EncodedText((*text.ids, 0, 0), None, 0.0) for text in TEXTS]
    with torch.no_grad():
        ids = [torch.tensor([text.ids]) for text in texts]
        plain = [model.net(input_ids=row, attention_mask=torch.ones_like(row)).logits for row in ids]
        found = label_outputs(model, pad_labelled(texts, 0))
    torch.testing.assert_close(found, torch.cat(plain), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("model_type", DECODERS)
def test_beams_that_share_a_row_are_those_with_a_row_each(
    model_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = adapted(tiny_model(model_type)).net
    search = BeamSearch(4, max_new_tokens=9, eos_token_ids=(3, 5))
    assert isinstance(session.open_session(net), session.TreeSession)
    shared = generate_all(net, PROMPTS, search)
    monkeypatch.setattr(session, "beams_can_share_a_row", lambda _: False)
    assert generate_all(net, PROMPTS, search) == shared


@pytest.mark.parametrize("model_type", WINDOWED)
@pytest.mark.parametrize("changes", [{}, WINDOW, WINDOW | {"sliding_window": 64}])
def test_windows_are_those_of_transformers(model_type: str, changes: dict[str, Any]) -> None:
    family = FAMILIES[model_type]
    config = family.tiny_config(num_hidden_layers=3, max_position_embeddings=64, **changes)
    layers = DynamicCache(config=config).layers
    windows = [family.window(config, i) for i in range(3)]
    assert windows == [getattr(layer, "sliding_window", None) for layer in layers]
    assert family.has_window(config) == (changes.get("sliding_window", 64) < 64)


@pytest.mark.parametrize(
    "dropout", [0.0, 1e-6]
)  # the second rounds to nothing, and takes the way of the first
@pytest.mark.parametrize(("model_type", "kind"), [case for case in KINDS if case[0] in WINDOWED])
def test_a_window_is_kept_in_packed_rows_and_in_the_batches_after_them(
    model_type: str, kind: Kind, dropout: float
) -> None:
    model = adapted(tiny_model(model_type, kind, **WINDOW, attention_dropout=dropout))
    alone = torch.stack([loss_of(model, slice(i, i + 1), packed=False) for i in range(3)]).sum()
    expected = gradients(model, alone)
    wide = adapted(tiny_model(model_type, kind))
    assert not torch.isclose(loss_of(wide, slice(None), packed=False), alone, rtol=1e-4)
    model.net.train()
    draw_from(model.net, Draws(0))
    for is_plugged, packed in ((False, False), (True, True), (True, False)):
        if is_plugged:
            take_packed_rows(model.net)
        loss = loss_of(model, slice(None), packed=packed)
        torch.testing.assert_close(loss, alone, rtol=1e-5, atol=1e-5)
        for name, gradient in gradients(model, loss).items():
            torch.testing.assert_close(gradient, expected[name], rtol=1e-3, atol=1e-3, msg=name)


@pytest.mark.parametrize("is_shared", [True, False])
@pytest.mark.parametrize("model_type", [name for name in WINDOWED if name in DECODERS])
def test_a_window_is_kept_while_decoding(
    model_type: str, is_shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = adapted(tiny_model(model_type, **WINDOW)).net
    assert isinstance(session.open_session(net), session.TreeSession)
    if not is_shared:
        monkeypatch.setattr(session, "beams_can_share_a_row", lambda _: False)
    search = Greedy(max_new_tokens=9, eos_token_ids=())
    for prompt, found in zip(PROMPTS, generate_all(net, PROMPTS, search), strict=True):
        ids = list(prompt)
        for _ in range(9):
            with torch.no_grad():
                ids.append(int(net(torch.tensor([ids])).logits[0, -1].argmax()))
        assert found == ids[len(prompt) :]


def test_the_families_were_tested_with_this_version_of_transformers() -> None:
    """A new one is added to TESTED_TRANSFORMERS when all of these tests have passed with it."""
    assert transformers.__version__.startswith(tuple(f"{version}." for version in TESTED_TRANSFORMERS))


@pytest.mark.parametrize("model_type", FAMILIES)
def test_a_config_with_fewer_layers_is_a_net_with_fewer_layers(model_type: str) -> None:
    family = FAMILIES[model_type]
    config = family.tiny_config(num_hidden_layers=3)
    for num_layers in (1, 5):
        other = family.with_layers(config, num_layers)
        net = next(iter(family.heads.values())).auto_class.from_config(other)
        assert family.num_blocks(net) == num_layers
    assert config.num_hidden_layers == 3


@pytest.mark.parametrize("model_type", FAMILIES)
def test_a_key_bias_is_idle_where_the_family_says_so(model_type: str) -> None:
    model = tiny_model(model_type)
    key = model.family.places.get("key", Place(""))
    biases = [n for n, _ in model.net.named_parameters() if n.endswith(f"{key.module}.bias")]
    if not key.module or key.num_slices > 1 or not biases:
        assert model.without_gradient() == []
        return
    before = outputs(model)
    with torch.no_grad():
        for name in biases:
            model.net.get_parameter(name).add_(torch.linspace(-2, 2, model.net.get_parameter(name).numel()))
    moved = not torch.allclose(outputs(model), before, atol=1e-4)
    assert model.without_gradient() == ([] if moved else biases)


@pytest.mark.parametrize("model_type", FAMILIES)
def test_a_tiny_tokenizer_frames_texts_as_the_family_reads_them(model_type: str) -> None:
    family = FAMILIES[model_type]
    tokenizer = family.tiny_tokenizer(["the film was good .", "the meal was bad ."])
    one, two = tokenizer("the film").input_ids, tokenizer("the film", "was good").input_ids
    special = set(tokenizer.all_special_ids)
    decoded = tokenizer.decode([i for i in two if i not in special])
    assert isinstance(decoded, str)
    assert decoded.replace(" ", "") == "thefilmwasgood"
    if "text" in family.heads:
        start = [tokenizer.bos_token_id] if family.tiny.specials.first else []
        assert [i for i in one if i in special] == one[: len(start)] == two[: len(start)] == start
        assert list(start_of_text(tokenizer)) == start
        return
    assert one[0] == tokenizer.cls_token_id
    assert one[-1] == two[-1] == tokenizer.sep_token_id
    assert sum(i == tokenizer.sep_token_id for i in two) == (3 if family.counts_from_pad else 2)
    assert all(a != b or a == tokenizer.sep_token_id for a, b in pairwise(one))
    config = family.tiny_config()
    assert config.pad_token_id == tokenizer.pad_token_id
