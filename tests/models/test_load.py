"""A base is loaded whole or refused; its identity does not depend on how its files are cut."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
import transformers
from transformers import AutoModelForCausalLM

from lorafit.errors import NotFoundError
from lorafit.models import base_folder, base_identity, load_base, load_config, tokenizer_hash


@pytest.fixture
def base(gpt2_base: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(gpt2_base, tmp_path / "base"))


def load(base: Path):
    return load_base(load_config(str(base)), str(base), None, "text")


def test_dropout_of_the_recipe(base: Path) -> None:
    config = load_config(str(base), dropout=0.25)
    assert (config.resid_pdrop, config.embd_pdrop, config.attn_pdrop) == (0.25, 0.25, 0.25)


def test_a_missing_tensor_is_no_random_one(base: Path) -> None:
    file = base / "model.safetensors"
    tensors = safetensors.torch.load_file(file)
    del tensors["transformer.h.0.attn.c_attn.weight"]
    safetensors.torch.save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(NotFoundError, match=r"1 tensors of the base are missing.*h\.0\.attn\.c_attn\.weight"):
        load(base)


def test_a_tensor_of_another_shape(base: Path) -> None:
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"n_embd": 16}))
    with pytest.raises(NotFoundError, match="missing or of another shape"):
        load(base)


@pytest.mark.parametrize("damage", [b"", b"garbage", b"\xff" * 64])
def test_damaged_weights(base: Path, damage: bytes) -> None:
    (base / "model.safetensors").write_bytes(damage)
    with pytest.raises(NotFoundError, match="its weights cannot be read"):
        load(base)


def test_no_tokenizer(base: Path) -> None:
    for file in base.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(NotFoundError, match="tokenizer"):
        load(base)


def test_a_folder_that_is_no_base(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no config\.json there"):
        load_config(str(tmp_path))
    with pytest.raises(NotFoundError, match="no such folder"):
        load_config("./nothing/here")


def test_the_hub_is_said_to_be_out_of_reach() -> None:
    with pytest.raises(NotFoundError, match="some-body/some-model: base model not in the Hugging Face cache"):
        load_config("some-body/some-model")


def test_identity_is_of_the_content(make_base: Callable[..., Path], base: Path, tmp_path: Path) -> None:
    whole = base_identity(str(base), None, base_folder(str(base)))
    net = AutoModelForCausalLM.from_pretrained(base)
    sharded = tmp_path / "sharded"
    net.save_pretrained(sharded, max_shard_size="20KB")
    assert len(list(sharded.glob("*.safetensors"))) > 1
    assert base_identity("x", None, sharded).weights_hash == whole.weights_hash
    with torch.no_grad():
        net.get_parameter("transformer.h.0.mlp.c_fc.bias")[0] += 1e-3
    net.save_pretrained(tmp_path / "changed")
    changed = base_identity("x", None, tmp_path / "changed")
    assert changed.weights_hash != whole.weights_hash
    assert changed.config_hash == whole.config_hash
    other = make_base("gpt2", n_layer=1)
    assert base_identity("x", None, other).config_hash != whole.config_hash


def test_the_hash_is_cached_until_the_file_changes(base: Path) -> None:
    first = base_identity("x", None, base).weights_hash
    file = base / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert base_identity("x", None, base).weights_hash != first


def test_no_code_of_a_base_is_run(base: Path) -> None:
    """Nor asked about: a model of its own kind is refused at once."""
    config = json.loads((base / "config.json").read_text())
    classes = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    (base / "config.json").write_text(json.dumps(config | {"model_type": "own", "auto_map": classes}))
    (base / "own.py").write_text("raise SystemExit('it was run')")
    with pytest.raises(NotFoundError, match="contains custom code"):
        load(base)


def test_every_file_that_a_tokenizer_is_read_from_counts(tmp_path: Path) -> None:
    """All that tokenizers of transformers name, whatever their class."""
    sources = (Path(transformers.__file__).parent / "models").glob("*/tokenization_*.py")
    tables = [re.search(r"VOCAB_FILES_NAMES = \{(.*?)\}", path.read_text(), re.DOTALL) for path in sources]
    named = {name for table in tables if table for name in re.findall(r': "([^"]+)"', table[1])}
    assert len(named) > 20
    for name in (*named, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"):
        (tmp_path / name).write_text("a")
        before = tokenizer_hash(tmp_path)
        (tmp_path / name).write_text("b")
        assert tokenizer_hash(tmp_path) != before, name
    kept = tokenizer_hash(tmp_path)
    for name in ("README.md", "config.json", "model.safetensors", "training_args.bin"):
        (tmp_path / name).write_text("a")
    assert tokenizer_hash(tmp_path) == kept
