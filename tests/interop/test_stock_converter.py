"""llama.cpp's own converter takes merged folders and bases; adapters of every architecture go with its bases.

`scripts/stress/llama_cpp.sh` fetches the converter and runs this; without it these tests skip.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gguf
import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from lorafit.adapters import BaseChoice, read_adapter, restore
from lorafit.interop.gguf_layout import ARCHITECTURES
from lorafit.methods import LoRA
from lorafit.models import FAMILIES
from lorafit.verbs.export import export
from lorafit.verbs.merge import merge
from tests.support.adapter_fixtures import make_adapter
from tests.support.llama_cpp import LlamaCpp, largest_difference
from tests.support.peft_adapters import load_net

LLAMA_CPP = Path(os.environ.get("LLAMA_CPP", "nowhere"))
pytestmark = [
    pytest.mark.skipif(not LLAMA_CPP.is_dir(), reason="LLAMA_CPP names no folder with its sources"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
SENTENCEPIECE = ("gemma", "gemma2", "phi3")
ALLOWED = 5e-5  # of log-probabilities
SHARED_KEYS = {"num_key_value_heads": 2}
CHANGES: dict[str, dict[str, Any]] = {
    "gpt2": {},
    "gpt_neox": {},
    "smollm3": {"num_hidden_layers": 4, "no_rope_layers": [1, 1, 1, 0]},  # every fourth, as llama.cpp has it
}


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_adapters_and_merged_models_of_every_architecture(model_type, make_base, tmp_path):
    vocabulary = _vocabulary(model_type)
    base = make_base(
        model_type, vocab_size=len(vocabulary["tokens"]) + 8, **CHANGES.get(model_type, SHARED_KEYS)
    )
    _save_tokenizer(base, model_type, vocabulary)
    make_adapter(base, tmp_path / "adapter", LoRA(r=3, alpha=7, targets=("all-linear",)), strength=0.1)
    export(tmp_path / "adapter", tmp_path / "out", "gguf", BaseChoice())
    merge(tmp_path / "adapter", tmp_path / "merged", BaseChoice())
    for key in FAMILIES[model_type].config_aliases:  # which those on the hub say
        merged_config = json.loads((tmp_path / "merged" / "config.json").read_text())
        _edit(base / "config.json", **{key: merged_config[key]})
    engine = LlamaCpp(_converted(base, tmp_path / "base.gguf"), tmp_path / "out" / "adapter.gguf")
    merged = LlamaCpp(_converted(tmp_path / "merged", tmp_path / "merged.gguf"))
    adapted = restore(read_adapter(tmp_path / "adapter"), force=True).net
    found = {
        "base": largest_difference(engine, load_net(base), {0: 0.0}),
        "adapter": largest_difference(engine, adapted),
        "merged": largest_difference(merged, load_net(tmp_path / "merged")),
        "effect": largest_difference(engine, load_net(base)),
    }
    print(model_type, found)
    assert found.pop("effect") > 10 * ALLOWED
    assert max(found.values()) <= ALLOWED


def _converted(folder: Path, file: Path) -> Path:
    words = (LLAMA_CPP / "convert_hf_to_gguf.py", folder, "--outtype", "f32", "--outfile", file)
    environment = os.environ | {"PYTHONPATH": os.environ["LLAMA_CPP_PACKAGES"]}
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return file


def _vocabulary(model_type: str) -> dict[str, Any]:
    """One of those that lie beside the converter, which knows them."""
    other = "llama-spm" if model_type in SENTENCEPIECE else "llama-bpe"
    name = {"gpt2": "gpt-2", "phi3": "phi-3"}.get(model_type, other)
    reader = gguf.GGUFReader(LLAMA_CPP / "models" / f"ggml-vocab-{name}.gguf")
    return {key.removeprefix("tokenizer.ggml."): field.contents() for key, field in reader.fields.items()}


def _save_tokenizer(folder: Path, model_type: str, vocabulary: dict[str, Any]) -> None:
    if model_type in SENTENCEPIECE:
        from sentencepiece import sentencepiece_model_pb2

        proto = sentencepiece_model_pb2.ModelProto()
        pieces = zip(*(vocabulary[k] for k in ("tokens", "scores", "token_type")), strict=True)
        for i, (token, score, kind) in enumerate(pieces):
            is_second = kind == gguf.TokenType.UNKNOWN and i != vocabulary["unknown_token_id"]
            proto.pieces.add(piece=token, score=score, type=gguf.TokenType.CONTROL if is_second else kind)
        proto.trainer_spec.model_type = 2
        proto.trainer_spec.byte_fallback = True
        for file in folder.glob("tokenizer*"):  # of the tiny base
            file.unlink()
        (folder / "tokenizer.model").write_bytes(proto.SerializeToString())
        return
    tokens, is_llama = vocabulary["tokens"], model_type != "gpt2"
    merges = [tuple(merge.split(" ")) for merge in vocabulary["merges"]]
    tokenizer = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, merges, ignore_merges=is_llama))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not is_llama)
    tokenizer.decoder = decoders.ByteLevel()
    start, end = (tokens[vocabulary[f"{which}_token_id"]] for which in ("bos", "eos"))
    if is_llama:
        split = pre_tokenizers.Split(Regex(_LLAMA3), "isolated")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, tokenizer.pre_tokenizer])
        special = [(start, vocabulary["bos_token_id"])]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{start} $A", pair=f"{start} $A $B", special_tokens=special
        )
    kinds = zip(tokens, vocabulary["token_type"], strict=True)
    tokenizer.add_special_tokens(
        [AddedToken(t, special=True) for t, kind in kinds if kind != gguf.TokenType.NORMAL]
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=start, eos_token=end)
    fast.save_pretrained(folder)
    in_transformers_4 = "PreTrainedTokenizerFast"
    _edit(folder / "tokenizer_config.json", tokenizer_class=in_transformers_4)


def _edit(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))
