"""Recipes: their files, their names, and what is set on the command line."""

from __future__ import annotations

from tests.messages.mistakes import Mistake, Table

DRY = "train reviews.toml --dry-run"


def mine(text: str | bytes, read: str) -> Mistake:
    """A recipe of one's own."""
    return Mistake("train mine.toml --dry-run", read, {"mine.toml": text})


MISTAKES: Table = {
    "recipe/bounds.py": (
        Mistake(
            f"{DRY} --set train.batch_size=99999999999999",
            "override train.batch_size: must be at most 1,000,000 (what is held in memory together "
            "is a part of the rows); got 99999999999999",
        ),
    ),
    "recipe/layers.py": (
        Mistake(
            f"{DRY} --unset train.batch_sise",
            "override: there is no 'train.batch_sise' to unset; did you mean 'train.batch_size'?",
        ),
        Mistake(
            "train grandchild.toml",
            "grandchild.toml extends: 'child.toml' is not complete, it extends 'reviews.toml' "
            "itself; extend 'reviews.toml' and set here what 'child.toml' changes",
            {"child.toml": 'extends = "reviews.toml"\n', "grandchild.toml": 'extends = "child.toml"\n'},
        ),
        mine(
            "extends = 3\n", "mine.toml extends: must be a string: a shipped recipe's name, or a file's path"
        ),
        mine(
            'extends = "reviews.toml"\nunset = "train.epochs"\n',
            'mine.toml unset: must be an array of keys, such as ["train.warmup_ratio"]',
        ),
        mine(
            'unset = ["train.epochs"]\n',
            "mine.toml unset: the recipe extends no other, so there is nothing to unset; remove it",
        ),
        mine(
            "paths_from = 3\n",
            "mine.toml paths_from: must be a string: the folder from which relative paths start",
        ),
        mine(
            "[model",
            "mine.toml: not valid TOML: Expected ']' at the end of a table declaration (at end of document)",
        ),
        mine(b"# caf\xe9\n", "mine.toml: not UTF-8 text (byte 5)"),
        mine(f"a = {'9' * 5000}\n", "mine.toml: holds a value that is too long"),
        mine("a = " + "[" * 5000, "mine.toml: holds a value that is too long"),
        Mistake(
            f"{DRY} --set r=4", "override r=4: must read section.key=value, such as train.learning_rate=1e-4"
        ),
        Mistake(
            ">>> lorafit.train('reviews.toml', {'train.epochs': object()})",
            "override train.epochs: <object object at …> must be a text, a number, true or false, or "
            "a list or table of them",
        ),
    ),
    "recipe/library.py": (
        Mistake(
            "train quickstrat",
            "quickstrat: no such recipe file, and no shipped recipe of that name; did you mean 'quickstart'?",
        ),
        Mistake(
            "train nothing_like_it",
            "nothing_like_it: no such recipe file, and no shipped recipe of that name; `lorafit "
            "recipes` lists the shipped ones",
        ),
        Mistake("train folder", "folder: is a folder, not a recipe file"),
    ),
    "recipe/listing.py": (
        Mistake(
            "recipes --task rtee", "no shipped recipe has the task 'rtee'; one of …; did you mean 'rte'?"
        ),
        Mistake("recipes --table 9", "no shipped recipe has the table '9'; one of …"),
    ),
    "recipe/read.py": (
        Mistake(
            f"{DRY} --set methode.r=4", "reviews.toml [methode]: unknown section; did you mean 'method'?"
        ),
        Mistake(f"{DRY} --set zzz.r=4", "reviews.toml [zzz]: unknown section; known sections: …"),
        mine(
            "model = 3\n",
            "mine.toml [model]: must be a section '[model]', not a value\n"
            "mine.toml [method] name: missing; one of …\n"
            "mine.toml [task] name: missing; one of …\n"
            "mine.toml [train] learning_rate: missing, and has no default",
        ),
        Mistake(f"{DRY} --unset method.name", "reviews.toml [method] name: missing; one of …"),
        Mistake(
            f"{DRY} --set method.name=lroa",
            "override method.name: unknown method 'lroa'; one of …; did you mean 'lora'?",
        ),
        Mistake(
            f"{DRY} --set task.name=e3e",
            "override task.name: unknown task 'e3e'; one of …; did you mean 'e2e'?",
        ),
        Mistake(f"{DRY} --set method.rnak=4", "override method.rnak: unknown key; did you mean 'r'?"),
        Mistake(f"{DRY} --set method.zzz=4", "override method.zzz: unknown key; known keys: …"),
        Mistake(
            f"{DRY} --unset train.learning_rate",
            "reviews.toml [train] learning_rate: missing, and has no default",
        ),
    ),
    "pydantic": (
        Mistake(f"{DRY} --set method.r=four", "override method.r: must be a whole number; got 'four'"),
        Mistake(f"{DRY} --set method.r=2.5", "override method.r: must be a whole number; got 2.5"),
        Mistake(f"{DRY} --set method.r=0", "override method.r: must be greater than 0; got 0"),
        Mistake(
            f"{DRY} --set train.gradient_checkpointing=maybe",
            "override train.gradient_checkpointing: must be true or false; got 'maybe'",
        ),
        Mistake(
            f"{DRY} --set train.learning_rate=inf",
            "override train.learning_rate: must be a finite number; got inf",
        ),
        Mistake(
            f"{DRY} --set train.learning_rate=fast",
            "override train.learning_rate: must be a number; got 'fast'",
        ),
        Mistake(f"{DRY} --set model.base=3", "override model.base: must be a text in quotes; got 3"),
        Mistake(f"{DRY} --set method.dropout=2", "override method.dropout: must be less than 1; got 2"),
        Mistake(
            f"{DRY} --set train.parallel=dpp", "override train.parallel: must be 'ddp' or 'fsdp'; got 'dpp'"
        ),
        Mistake(f"{DRY} --set data.rename=3", "override data.rename: must be a table; got 3"),
        Mistake(
            f"{DRY} --set eval.metrics=['bleu']",
            'override eval.metrics: must be an array such as ["a", "b"]; got \'[bleu]\'',
        ),
    ),
    "recipe/sections.py": (
        Mistake(
            f"{DRY} --set data.train=0.1",
            "override data.train: must be a file, or an array of files; got 0.1",
        ),
        Mistake(
            f"{DRY} --set data.valid=1.5",
            "override data.valid: must be a file, or a share of the training rows such as 0.1; got 1.5",
        ),
        Mistake(
            f'{DRY} --set \'data.train=["rows.csv", "rows.csv"]\'',
            "reviews.toml [data]: 'train' names the same twice; 'weights' say how often the rows of "
            "a file come",
        ),
        Mistake(
            f"{DRY} --set 'data.weights=[1, 2]'",
            "reviews.toml [data]: 'weights' must have a number for each file of 'train' (1); got 2",
        ),
        Mistake(
            f"{DRY} --set data.hub=owner/name --set data.dir=folder",
            "reviews.toml [data]: 'hub' and 'dir' exclude each other; keep one",
        ),
        Mistake(
            f"{DRY} --set data.hub_config=small",
            "reviews.toml [data]: 'hub_config' is of a data set on the hub; say which by 'hub'",
        ),
        Mistake(
            f"{DRY} --set data.valid=0.5 --set data.test=0.5",
            "reviews.toml [data]: 'valid' and 'test' take all rows of the training split; lower them",
        ),
        Mistake(f"{DRY} --unset train.epochs", "reviews.toml [train]: needs 'epochs' or 'max_steps'"),
        Mistake(
            f"{DRY} --set train.warmup_steps=3 --set train.warmup_ratio=0.1",
            "reviews.toml [train]: 'warmup_steps' and 'warmup_ratio' exclude each other; keep one",
        ),
        Mistake(
            f"{DRY} --set train.compile=true --set train.parallel=fsdp",
            "reviews.toml [train]: 'compile' and 'parallel = \"fsdp\"' exclude each other; keep one",
        ),
        Mistake(
            f"{DRY} --set train.batch_tokens=99",
            "reviews.toml [train]: 'batch_tokens' and 'batch_size' exclude each other; keep one",
        ),
        Mistake(
            f"{DRY} --unset train.batch_size --set train.batch_tokens=99 --set train.last_batch=drop",
            "reviews.toml [train]: 'last_batch' is about a number of examples, and 'batch_tokens' "
            "counts tokens; drop one",
        ),
        Mistake(
            f"{DRY} --set train.micro_batch_size=99",
            "reviews.toml [train]: 'micro_batch_size' (99) is larger than 'batch_size' (2)",
        ),
    ),
}
