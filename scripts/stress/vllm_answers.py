"""What vLLM answers with each of several adapters in one engine. Runs where vLLM is installed, and needs nothing else.

    python scripts/stress/vllm_answers.py REQUEST.json ANSWERS.json

REQUEST: {"model": folder, "adapters": {name: folder}, "max_lora_rank": int, "prompts": [[id, ...], ...],
"num_tokens": int}.
ANSWERS: {name: [{"tokens": [id, ...], "logprobs": [float, ...]}, ...]}, and under "" those of the base.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def main(request_file: str, answers_file: str) -> None:
    """All prompts."""
    from vllm import LLM, SamplingParams
    from vllm.lora.request import LoRARequest

    request: dict[str, Any] = json.loads(Path(request_file).read_text(encoding="utf-8"))
    engine = LLM(
        request["model"],
        dtype="float32",
        enforce_eager=True,
        skip_tokenizer_init=True,
        max_model_len=128,
        gpu_memory_utilization=0.1,  # of the machine's memory, on the CPU
        enable_lora=True,
        max_loras=len(request["adapters"]),
        max_lora_rank=request["max_lora_rank"],
    )
    sampling = SamplingParams(
        temperature=0, max_tokens=request["num_tokens"], logprobs=1, ignore_eos=True, detokenize=False
    )
    adapters = {n: LoRARequest(n, i, folder) for i, (n, folder) in enumerate(request["adapters"].items(), 1)}
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in ("", *adapters)}
    for names in ([""], list(adapters)):  # the base alone, then all adapters in one batch
        asked = [(name, prompt) for prompt in request["prompts"] for name in names]
        done = engine.generate(
            [{"prompt_token_ids": prompt} for _, prompt in asked],
            sampling,
            lora_request=[adapters.get(name) for name, _ in asked],
        )
        for (name, _), result in zip(asked, done, strict=True):
            text = result.outputs[0]
            chosen = zip(text.token_ids, text.logprobs, strict=True)
            logprobs = [places[token].logprob for token, places in chosen]
            answers[name].append({"tokens": list(text.token_ids), "logprobs": logprobs})
    Path(answers_file).write_text(json.dumps(answers), encoding="utf-8")


if __name__ == "__main__":  # which every process of vLLM asks
    main(*sys.argv[1:])
