"""Teach turns to a base that knows none, and count the answers that end by themselves, before and after.

    python scripts/bench/real_chat.py --rows E2E_FILE --model FOLDER [--make-from PACKAGES] [--template chatml]

Conversations are made of every fourth row of a file in E2E's format; the template's tokens that the base's tokenizer
lacks get rows of their own, which are trained with the adapter.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from real_model import BATCH_SIZE, LEARNING_RATE, NUM_NEW, add_arguments, make_where_missing, split_rows
from results import recorded


def teach(args: argparse.Namespace) -> None:
    """Teach the base turns, and count the answers that end by themselves."""
    import lorafit
    from lorafit.decoding import generate_all
    from lorafit.recipe import EvalSection

    conversations = [
        {
            "messages": [
                {"role": "user", "content": f"Describe: {data}"},
                {"role": "assistant", "content": text},
            ]
        }
        for data, _, text in (line.partition("||") for line in split_rows(args.rows, args.inputs)[0])
    ]
    questions = list(dict.fromkeys(line.partition("||")[0] for line in split_rows(args.rows, args.inputs)[1]))
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "train.jsonl"
        file.write_text("".join(json.dumps(each) + "\n" for each in conversations), encoding="utf-8")
        for name, learning_rate in (("before", 1e-9), ("after", LEARNING_RATE)):
            overrides: dict[str, object] = {
                "model.base": str(args.model),
                "model.dtype": args.dtype,
                "task.template": args.template,
                "data.train": str(file),
                "data.max_length": 256,
                "train.epochs": 1,
                "train.learning_rate": learning_rate,
                "train.batch_size": BATCH_SIZE,
                "decode.max_new_tokens": NUM_NEW,
            }
            overrides |= {"train.max_steps": 1} if name == "before" else {}
            run = lorafit.train("own_chat", overrides, Path(scratch) / name)
            restored = lorafit.load(run.adapter).restored
            objective: Any = restored.objective(EvalSection())
            writer = objective.writer(restored.model)
            rows = [restored.task.parse_input(f"Describe: {data}") for data in questions]
            prompts = [writer.form.prompt(row) for row in rows]
            with restored.model.placement.autocast():
                written = generate_all(restored.model.net, prompts, writer.search, batch_size=BATCH_SIZE)
            ends = {*writer.search.eos_token_ids}
            ended = sum(not ends.isdisjoint(ids) for ids in written)
            first = writer.form.written(written[0], writer.search.eos_token_ids)
            print(
                f"{name}: {ended} of {len(written)} answers end by themselves, such as {first!r}", flush=True
            )


def main() -> None:
    """Parse, teach, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--template", default="chatml", help="the template that is taught")
    args = parser.parse_args()
    make_where_missing(args)
    teach(args)


if __name__ == "__main__":
    recorded(main)
