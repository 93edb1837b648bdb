"""A prefix against its two definitions: transformers' own cache filled with it, and embeddings put in front."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.cache_utils import DynamicCache

from lorafit.data.batches import pack
from lorafit.data.encoding.encode import EncodedPair
from lorafit.decoding import Greedy, generate_all
from lorafit.errors import RecipeError
from lorafit.methods import Prefix
from lorafit.models import Model, PackedRow
from lorafit.training import language_model_loss_sums
from tests.support.tiny_models import some_inputs, tiny_model

LENGTH = 3
IDS = torch.tensor([[5, 1, 7, 2, 9, 4], [3, 8, 6, 20, 1, 2]])


def attached(model_type: str, **options: Any) -> tuple[Model, Prefix]:
    model, method = tiny_model(model_type), Prefix(**{"length": LENGTH, "hidden": 8} | options)
    method.attach(model, torch.Generator().manual_seed(0))
    return model, method


def saved(model: Model, method: Prefix) -> Tensor:
    (values,) = method.saved_tensors(model).values()
    return values.detach()


@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
def test_layers_see_what_transformers_cache_would_hold(model_type: str) -> None:
    model, method = attached(model_type)
    plain = tiny_model(model_type)
    values = saved(model, method)  # [layers, 2, length, heads * head_dim]
    cache = DynamicCache(config=plain.net.config)
    for layer, states in enumerate(values):
        keys_values = states.unflatten(-1, (-1, 4)).transpose(1, 2).unsqueeze(1).expand(-1, 2, -1, -1, -1)
        cache.update(*keys_values, layer)
    positions = {} if model_type == "gpt2" else {"position_ids": torch.arange(6)[None]}  # rotary: no push
    expected = plain.net(IDS, past_key_values=cache, **positions).logits
    torch.testing.assert_close(model.net(IDS).logits, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
def test_embeddings_are_read_as_if_they_stood_in_front(model_type: str) -> None:
    model, method = attached(model_type, variant="embedding")
    plain = tiny_model(model_type).net
    front = saved(model, method).expand(2, -1, -1)
    expected = plain(inputs_embeds=torch.cat([front, plain.get_input_embeddings()(IDS)], 1)).logits[
        :, LENGTH:
    ]
    torch.testing.assert_close(model.net(IDS).logits, expected, atol=3e-5, rtol=1e-4)


@pytest.mark.parametrize("variant", ["layer", "embedding"])
def test_the_gradient_reaches_the_reparameterisation_alone(variant: str) -> None:
    model, method = attached("gpt2", variant=variant)
    model.net.train()
    batch = pack([EncodedPair((4, 9, 0), (7, 22, 0)), EncodedPair((13, 0), (2, 0))], 64)
    language_model_loss_sums(model.net, batch, [0.1]).sum().backward()
    reached = {name for name, p in model.net.named_parameters() if p.grad is not None and p.grad.any()}
    table = "transformer.prefix.table"
    parts = ("embedding", "hidden.weight", "hidden.bias", "out.weight", "out.bias")
    assert reached == {f"{table}.{part}" for part in parts}
    assert method.saved_tensors(model).keys() == {f"{table}.values"}


@pytest.mark.parametrize("variant", ["layer", "embedding"])
def test_decoding_with_the_saved_prefix_is_decoding_while_training(variant: str) -> None:
    model, method = attached("gpt2", variant=variant)
    greedy = Greedy(max_new_tokens=8, eos_token_ids=())
    prompts = [[4, 9, 1], [7], [13, 2, 8, 28]]
    expected = generate_all(model.net, prompts, greedy)
    values = saved(model, method)

    restored, _ = attached("gpt2", variant=variant)
    with torch.no_grad():
        for parameter in restored.trained().values():
            parameter.zero_()
    assert generate_all(restored.net, prompts, greedy) != expected
    method.finish(restored)
    restored.trained()["transformer.prefix.table.values"].data.copy_(values)
    assert generate_all(restored.net, prompts, greedy) == expected


@pytest.mark.parametrize("variant", ["layer", "embedding"])
def test_what_was_kept_is_forgotten_when_the_prefix_changes(variant: str) -> None:
    model, method = attached("gpt2", variant=variant)
    method.finish(model)
    with torch.no_grad():
        before = model.net(IDS).logits
        assert torch.equal(model.net(IDS).logits, before)
        model.trained()["transformer.prefix.table.values"].mul_(2)
        assert not torch.equal(model.net(IDS).logits, before)


def test_decoding_reads_embeddings_once_a_batch() -> None:
    model, _ = attached("gpt2", variant="embedding")
    passes: list[int] = []
    block = model.net.get_submodule("transformer.h.0")
    block.register_forward_hook(lambda _, args, __: passes.append(args[0].shape[1]))
    generate_all(model.net, [[4, 9, 1, 2]], Greedy(max_new_tokens=5, eos_token_ids=()))
    assert passes == [LENGTH, 4, 1, 1, 1, 1]


def test_an_encoder_reads_its_prefix_from_every_token_and_through_every_mask() -> None:
    """One unpadded text at a time, padded together, and packed into one row: the same answers."""
    model, _ = attached("roberta")
    inputs = some_inputs()
    lengths = inputs["attention_mask"].sum(1).tolist()
    texts = [row[:length] for row, length in zip(inputs["input_ids"], lengths, strict=True)]
    padded = model.net(**inputs).logits
    single = torch.cat([model.net(text[None]).logits for text in texts])
    torch.testing.assert_close(padded, single, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(padded, tiny_model("roberta").net(**inputs).logits, atol=1e-2)

    positions = torch.cat([torch.arange(length) + 1 for length in lengths])[None]  # pad_token_id 0
    row = PackedRow.of(lengths, torch.device("cpu"))
    ids = torch.cat(texts)[None]
    backbone = model.net.get_submodule("roberta")
    packed = backbone(ids, position_ids=positions, packed_row=row).last_hidden_state[0]
    for text, states in zip(texts, packed.split(lengths), strict=True):
        alone = backbone(text[None]).last_hidden_state[0]
        torch.testing.assert_close(states, alone, atol=1e-5, rtol=1e-5)


def test_a_decoder_has_so_many_positions_fewer() -> None:
    model, method = attached("gpt2")
    assert model.net.config.max_position_embeddings == 64 - method.num_positions == 64 - LENGTH
    logits = model.net(torch.zeros(1, 64 - LENGTH, dtype=torch.long)).logits
    assert torch.isfinite(logits).all()
    long = [i % 29 for i in range(100)]
    room = 64 - LENGTH - 8
    greedy = Greedy(max_new_tokens=8, eos_token_ids=())
    assert generate_all(model.net, [long], greedy) == generate_all(model.net, [long[-room:]], greedy)


def test_the_prefix_stays_in_float32_under_autocast() -> None:
    model, method = attached("gpt2")
    with torch.no_grad():
        before = saved(model, method)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(saved(model, method), before)
            loss = F.cross_entropy(model.net(IDS).logits[:, -1].float(), IDS[:, 0])
    assert torch.isfinite(loss)


def test_a_window_that_would_leave_the_prefix_behind_is_refused() -> None:
    with pytest.raises(RecipeError, match="attend to a window of tokens, which leaves a prefix behind"):
        Prefix(length=LENGTH).attach(tiny_model("mistral", sliding_window=4))
