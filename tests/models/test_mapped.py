"""A net whose weights stay in their files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from lorafit.adapters.fingerprint import answers
from lorafit.models.files import stored


def test_a_mapped_net_answers_as_a_loaded_one(make_base: Callable[..., Path]):
    from lorafit.interop.models.source import parameter_names
    from lorafit.models import load_base, load_config, skeleton
    from lorafit.models.files.mapped import map_weights

    for model_type in ("gpt2", "llama", "mistral", "qwen3"):
        base = make_base(model_type)
        model = skeleton(load_config(str(base)), "text", with_buffers=True)
        tensors = {t.name: t for t in stored.stored_tensors(stored.weight_files(base))}
        names = parameter_names(model)
        found = {key: next(tensors[n] for n in group if n in tensors) for key, group in names.items()}
        map_weights(model, found)
        inputs = [[1, 2, 3, 4, 5]] * 3
        expected = answers(load_base(load_config(str(base)), str(base), None, "text"), inputs)
        for _ in range(2):  # and again, after everything was let go
            torch.testing.assert_close(answers(model, inputs), expected)
