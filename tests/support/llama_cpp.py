"""llama.cpp in this process, and bases as it reads them.

Every token is a character of its own there: where a text would end within a character, it tells no probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gguf
import torch
import torch.nn.functional as F
import xllamacpp
from torch import Tensor, nn
from transformers import AutoModelForCausalLM
from transformers.activations import GELUActivation, GELUTanh, NewGELUActivation

from lorafit.models.activations import TanhGELU

END = 0
PROMPTS = [[5 + 3 * i + 7 * j % 60 for j in range(4 + i)] for i in range(8)]


def save_gguf(base: Path, file: Path) -> Path:
    """A tiny GPT-2 or Llama in float32, as llama.cpp's own converter lays it out."""
    net: Any = AutoModelForCausalLM.from_pretrained(base)
    write = {"gpt2": _gpt2, "llama": _llama}[net.config.model_type]
    writer = gguf.GGUFWriter(file, net.config.model_type)
    tokens = [chr(0x4E00 + i) for i in range(net.config.vocab_size)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.USER_DEFINED] * len(tokens))
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(END)
    names = gguf.get_tensor_name_map(
        {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}[net.config.model_type],
        net.config.num_hidden_layers,
    )
    for name, tensor in write(net, writer).items():
        module, _, leaf = name.rpartition(".")
        writer.add_tensor(f"{names.get_name(module)}.{leaf}", tensor.detach().contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _gpt2(net: Any, writer: gguf.GGUFWriter) -> dict[str, Tensor]:
    config = net.config
    writer.add_block_count(config.n_layer)
    writer.add_context_length(config.n_positions)
    writer.add_embedding_length(config.n_embd)
    writer.add_feed_forward_length(4 * config.n_embd)
    writer.add_head_count(config.n_head)
    writer.add_layer_norm_eps(config.layer_norm_epsilon)
    conv1d = (".c_attn.weight", ".c_proj.weight", ".c_fc.weight")
    return {name: t.T if name.endswith(conv1d) else t for name, t in net.named_parameters()}


def _llama(net: Any, writer: gguf.GGUFWriter) -> dict[str, Tensor]:
    config = net.config
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    return {name: _permuted(t, heads.get(name.split(".")[-2])) for name, t in net.named_parameters()}


def _permuted(weight: Tensor, num_heads: int | None) -> Tensor:
    """conversion/llama.py, LlamaModel.permute"""
    if num_heads is None:
        return weight
    split = weight.reshape(num_heads, 2, weight.shape[0] // num_heads // 2, *weight.shape[1:])
    return split.swapaxes(1, 2).reshape(weight.shape)


class LlamaCpp:
    """A base with adapters, in float32 throughout."""

    def __init__(self, base: Path, *adapters: Path) -> None:
        params = xllamacpp.CommonParams()
        params.model.path = str(base)
        params.n_ctx, params.n_parallel, params.n_predict = 128, 1, 1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        params.warmup = params.fit_params = False
        params.verbosity = -1
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(path), 1.0) for path in adapters]
        self.server = xllamacpp.Server(params)

    def top(self, prompt: Sequence[int], scales: Mapping[int, float] | None = None) -> dict[int, float]:
        """The 20 likeliest next tokens and their log-probabilities; none where the first is part of a character.

        `scales`: of the adapters, by number.
        """
        tokens = self._complete(prompt, scales, max_tokens=1, logprobs=20)
        return {entry["id"]: entry["logprob"] for token in tokens for entry in token["top_logprobs"]}

    def greedy(self, prompt: Sequence[int], num_tokens: int) -> list[int]:
        """A text without end, by its token ids."""
        return [token["id"] for token in self._complete(prompt, None, max_tokens=num_tokens, logprobs=1)]

    def _complete(self, prompt: Sequence[int], scales: Mapping[int, float] | None, **options: Any) -> Any:
        request = {"prompt": list(prompt), "temperature": 0, "ignore_eos": True, "cache_prompt": False}
        if scales is not None:
            request["lora"] = [{"id": i, "scale": scale} for i, scale in scales.items()]
        told = self.server.handle_completions({**request, **options})["choices"][0]["logprobs"]
        return [] if told is None else told["content"]


@torch.no_grad()
def log_probabilities(net: Any, prompt: Sequence[int]) -> Tensor:
    """Of the token after the prompt, over the whole vocabulary."""
    logits = net(input_ids=torch.tensor([list(prompt)])).logits[0, -1]
    return logits.log_softmax(-1)


GELUS = (NewGELUActivation, GELUTanh, TanhGELU, GELUActivation)
"""For all of which llama.cpp has one: for that of GPT-NeoX, the last, too."""


class GgmlGelu(nn.Module):
    """GELU as ggml has it on a CPU: from a table of half-precision numbers."""

    def forward(self, x: Tensor) -> Tensor:
        """x [...] -> [...]"""
        return F.gelu(x.half().float(), approximate="tanh").half().float()


def largest_difference(engine: LlamaCpp, net: Any, scales: Mapping[int, float] | None = None) -> float:
    """Of llama.cpp's log-probabilities of its 20 likeliest tokens from the net's, over all prompts.

    The net's GELU becomes ggml's, whose rounding alone moves them by 1e-4 in a GPT-2 or Gemma of this size.
    """
    for parent in list(net.modules()):
        for name, child in parent.named_children():
            if isinstance(child, GELUS):
                setattr(parent, name, GgmlGelu())
    differences = []
    for prompt in PROMPTS:
        ours = log_probabilities(net, prompt)
        theirs = engine.top(prompt, scales)
        differences += [abs(value - ours[token].item()) for token, value in theirs.items()]
    assert len(differences) >= 20 * len(PROMPTS) // 2
    return max(differences)
