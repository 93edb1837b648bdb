"""What one does with adapters, runs and files of answers, and the options of the command line."""

from __future__ import annotations

import json

from tests.messages.mistakes import Mistake, Table

TRAIN = "train quickstart --dry-run"
GUESSED = {"said.jsonl": '{"prediction": "a"}\n', "right.txt": "a\n", "said.txt": "a\n", "more.txt": "b\n"}
WHOLE = {"a.jsonl": '{"answer": "1"}\n{"answer": "5"}\n', "b.jsonl": '{"label": "1"}\n'}


def renewed(name: str) -> dict[str, str]:
    """A row of reviews, with a column of that name."""
    return {"new.jsonl": json.dumps({"review": "good", name: "a"}) + "\n"}


MISTAKES: Table = {
    "cli/commands/adapters.py": (
        Mistake(
            "predict labels good --output out.jsonl",
            "output: rows are written, and texts are given; use --input FILE",
        ),
    ),
    "cli/options.py": (
        Mistake(
            "predict adapter hi --greedy --strategy sample",
            "greedy: the strategy is 'sample'; leave out --greedy",
        ),
    ),
    "page/write.py": (
        Mistake(
            "report runs -o rows.csv",
            "rows.csv: already exists and is no page; choose another --output",
        ),
        Mistake(
            "report runs --table 3 -o folder",
            "folder: is a folder, and a page is a file; choose another --output",
        ),
        Mistake(
            "report runs folder --table 3",
            "a table has the runs of one folder, and 2 are named; name one folder that holds them",
        ),
    ),
    "cli/parsing.py": (
        Mistake(
            f"{TRAIN} --time-limit soon",
            "--time-limit soon: must be a time such as 90s, 15m, 1.5h or 1:30:00",
        ),
        Mistake(f"{TRAIN} --time-limit 99999d", "--time-limit 99999d: must be at most ten years"),
        Mistake(
            "merge adapter out --max-shard-size huge",
            "--max-shard-size huge: must be a size such as 500MB or 5GB, at most 1,000,000GB",
        ),
        Mistake(
            f"{TRAIN} --seeds a",
            "--seeds a: must be whole numbers with commas between, such as 0,1,2, or a range such as 0..9",
        ),
        Mistake(
            f"{TRAIN} --seeds 99999999999999999999999",
            "--seeds 99999999999999999999999: must be at most 9223372036854775807 (random generators "
            "take 64 bits)",
        ),
        Mistake(
            f"{TRAIN} --seeds 5..1",
            "--seeds 5..1: must begin with the smaller number, and name at most 1,000",
        ),
        Mistake(f"{TRAIN} --seeds 1,1", "--seeds 1,1: names a seed twice"),
        Mistake(f"{TRAIN} --extend steps=4", "--extend steps=4: must read epochs=N or max_steps=N"),
        Mistake(
            "table 3 runs --explain e2e", "--explain e2e: must read ROW/TASK, such as 'GPT-2 M (LoRA)/e2e'"
        ),
    ),
    "cli/commands/runs.py": (
        Mistake(
            "runs rm runs/e2e_gpt2m/seed-0", "nobody is there to be asked, so nothing is deleted; use --yes"
        ),
    ),
    "cli/stopping.py": (
        Mistake(
            "WORLD_SIZE=2 RANK=0 LOCAL_RANK=0 predict labels good",
            "this command runs as one process; start it without torchrun or srun",
        ),
    ),
    "cli/commands/sweep.py": (
        Mistake(
            "sweep quickstart --grid method.r=1,2 --grid method.r=4,8 --dry-run",
            "--grid names a key twice; give all of its values at once",
        ),
    ),
    "cli/commands/training.py": (
        Mistake(f"{TRAIN} --seed 1 --seeds 1,2", "--seed and --seeds exclude each other; keep one"),
    ),
    "verbs/analyze.py": (
        Mistake(
            "analyze adapter --output out",
            "analyze: there is only one adapter, and nothing to compare it with; name a second one, "
            "or use --amplification",
        ),
        Mistake(
            "analyze adapter prefixes --output out",
            "prefixes: its method is 'prefix'; only LoRA has subspaces to compare",
        ),
        Mistake("analyze adapter labels --output out", "adapter and labels: adapt no module in common"),
    ),
    "verbs/chat.py": (
        Mistake(
            "chat adapter",
            "adapter: was trained for e2e, and not on conversations; choose another ADAPTER...",
        ),
    ),
    "verbs/combine.py": (
        Mistake("combine adapter:0 talks:1 out", "adapter: weight 0 is none; it must be finite and not 0"),
        Mistake(
            "combine adapter:1 labels:1 out",
            "labels: was trained on another base (…/encoder) than adapter (…)",
        ),
        Mistake("combine labels:1 renamed:1 out", "renamed: gives other outputs than labels"),
        Mistake(
            "combine labels:1 other-labels:1 out",
            "other-labels: 'classifier.dense.bias' was trained whole, and is not the same as in "
            "labels; only updates of low rank add up",
        ),
        Mistake("combine prefixes:1 prefixes:1 out", "prefixes: method 'prefix' does not add up"),
        Mistake(
            "combine dora:1 dora:1 out", "dora: DoRA does not add up: each has a lora_magnitude of its own"
        ),
        Mistake(
            "combine adapter:1e39 out",
            "out: the sum with these weights holds or gives values that are not finite",
        ),
    ),
    "verbs/compare.py": (
        Mistake(
            "compare runs/e2e_gpt2m/seed-0 folder",
            "runs/e2e_gpt2m/seed-0 and folder: have no predictions of a common split",
        ),
        Mistake(
            "compare a b",
            "a and b: have no predictions of a common split",
            {"a/valid.jsonl": "{}", "b/test.jsonl": "{}", "a/x.jsonl": "{}"},
        ),
        Mistake(
            "compare a b --split test",
            "a: no predictions of the split 'test'; there are valid",
            {"a/valid.jsonl": "{}", "b/test.jsonl": "{}"},
        ),
        Mistake(
            "compare a nowhere", "nowhere: no such run folder or file of predictions", {"a/valid.jsonl": "{}"}
        ),
        Mistake(
            "compare a b",
            "a/recipe.toml: is not readable as a recipe: no key 'task'",
            {
                "a/test.jsonl": '{"prediction": "a", "references": ["a"]}\n',
                "b/test.jsonl": '{"prediction": "a", "references": ["a"]}\n',
                "a/recipe.toml": "[model]\n",
            },
        ),
    ),
    "verbs/evaluate.py": (
        Mistake(
            "eval labels --data rows.csv --glue-submission out",
            "labels: classification is not a task of GLUE; leave out --glue-submission",
        ),
        Mistake(
            "eval mnli --split valid --glue-submission out",
            "a GLUE submission needs the test split; use --split test",
        ),
    ),
    "verbs/export.py": (
        Mistake(
            "export adapter out --for vllm --format gguf",
            "format gguf: vllm loads the peft format; leave out --format",
        ),
        Mistake(
            "export labels out --for vllm",
            "labels: vllm cannot serve it: serves no adapters of a roberta; merge it first",
        ),
        Mistake(
            "export dora out --for vllm",
            "dora: vllm cannot serve it: transformer.h.0.attn.c_attn: PEFT rescales every output of "
            "a module that has DoRA, and not just some parts (and 2 more); merge it first",
        ),
        Mistake(
            "export prefixes out --for llama.cpp",
            "prefixes: llama.cpp cannot serve it: method 'prefix' has no counterpart in the gguf "
            "format; merge it first",
        ),
    ),
    "verbs/import_.py": (
        Mistake(
            "import peft out --format peft --base base --task generation --template chatml",
            "template chatml: only the task chat has one; leave out --template",
        ),
        Mistake(
            "import loralib out --format loralib --base base --alpha -1",
            "alpha: must be a finite number greater than 0; got -1.0; choose another --alpha",
        ),
        Mistake(
            "import loralib out --format loralib --base base --alpha 8 --task rte",
            "task rte: does not fit loralib/pytorch_model_lora.bin, which has no head",
        ),
        Mistake(
            "import peft-labels out --format peft --base encoder --task regression",
            "task regression: does not fit peft-labels, which has a head with 2 outputs",
        ),
    ),
    "verbs/init.py": (
        Mistake(
            "init rows.csv --output reviews.toml", "reviews.toml: already exists; choose another --output"
        ),
        Mistake(
            "init broken.jsonl --base base",
            "not one usable row among the first 1; 1: the assistant says nothing: nothing could be learned",
            {"broken.jsonl": '{"messages": [{"role": "user", "content": "hi"}]}\n'},
        ),
        Mistake(
            "init asked.jsonl --base a/b/c",
            "a/b/c: no such folder, and no name on the hub; choose another --base",
        ),
    ),
    "verbs/merge.py": (
        Mistake(
            ">>> from lorafit.adapters import BaseChoice\nfrom lorafit.verbs.merge import merge\n"
            "merge(Path('adapter'), Path('out'), BaseChoice(), max_shard_bytes=0)",
            "max_shard_bytes: must be at least 1; got 0",
        ),
        Mistake(
            "merge adapter out --onto quantized",
            "onto quantized: adapter was trained on a base that was not quantised; leave out --onto",
        ),
    ),
    "verbs/originals.py": (
        Mistake("data verify nowhere", "nowhere: no such folder"),
        Mistake(
            "data verify mine",
            "mine/e2e/train.txt: is not the original file (git blob SHA-1 "
            "deba01fc8d98200761c46eb139f11ac244cf6eb5, not "
            "2f92a2790c00a48574dcc89465a326f33d7e7cc6); run `lorafit data fetch e2e` (after you have "
            "deleted it)",
            {"mine/e2e/train.txt": "something\n"},
        ),
        Mistake("data verify folder", "folder: holds none of the original files of e2e, dart, webnlg"),
    ),
    "verbs/predict.py": (
        Mistake(
            ">>> lorafit.predict('labels', 'rows.csv', 'out.csv', batch_size=0)",
            "batch_size: must be from 1 to 1,000,000 (what is held in memory together is a part of "
            "the rows); got 0; choose another `batch_size`",
        ),
        Mistake(
            "predict labels good --temperature 0.7 --strategy sample",
            "an adapter for classification gives labels, and only texts are sampled; leave out "
            "--strategy, or leave out --temperature",
        ),
        Mistake(
            "predict labels --input new.jsonl --output out.jsonl",
            "new.jsonl: has a column 'prediction', and so are the answers called; give the column "
            "another name",
            renewed("prediction"),
        ),
        Mistake(
            "predict labels --input rows.csv --output rows.csv",
            "rows.csv: already exists; choose another --output",
        ),
    ),
    "verbs/prefetch.py": (
        Mistake(
            "fetch reviews.toml --lock bad.lock",
            "bad.lock: is not a lock file of this lorafit (no key 'bases'); delete it",
            {"bad.lock": "a = 1\n"},
        ),
    ),
    "verbs/runs.py": (
        Mistake("runs nowhere", "nowhere: no such folder of runs"),
        Mistake(
            "runs rm folder --yes", "folder: is no run folder (it has no recipe.toml); choose another RUN..."
        ),
        Mistake("runs rm nowhere --yes", "nowhere: no such run folder; choose another RUN..."),
    ),
    "verbs/score.py": (
        Mistake(
            "score e2e said.txt right.txt --prediction-key a",
            "said.txt: holds lines of text, which have no keys; leave out --prediction-key",
            GUESSED,
        ),
        Mistake(
            "score e2e said.txt", "said.txt: holds lines of text, and no right answers are given", GUESSED
        ),
        Mistake(
            "score e2e said.txt said.jsonl more.txt",
            "said.jsonl: holds rows, so it must be the only file of right answers",
            GUESSED,
        ),
        Mistake(
            "score e2e said.txt right.txt --reference-key a",
            "right.txt: holds lines of text, which have no keys; leave out --reference-key",
            GUESSED,
        ),
        Mistake(
            "score text said.txt right.txt",
            "text: perplexity says how likely the model finds a text, which is not seen in answers; "
            "score the adapter itself (eval)",
            GUESSED,
        ),
        Mistake(
            "score classification said.txt right.txt more.txt",
            "more.txt: an answer has one label, so one file of labels is enough",
            GUESSED,
        ),
        Mistake(
            "score classification ab.txt none.jsonl --reference-key label",
            "none.jsonl: has no labels, so nothing can be scored",
            {"ab.txt": "a\nb\n", "none.jsonl": '{"label": null}\n' * 2},
        ),
        Mistake(
            "score classification said.txt right.txt",
            "right.txt: with the answers, every row has the label 'a' in the column 'label'; there "
            "must be two classes or more",
            GUESSED,
        ),
        Mistake(
            "score e2e said.jsonl right.txt",
            "said.jsonl: holds rows with the keys answer, and not lines of text; use --prediction-key …",
            {"said.jsonl": '{"answer": "a"}\n', "right.txt": "a\n"},
        ),
        Mistake(
            "score classification a.jsonl b.jsonl --prediction-key answer --reference-key label",
            "b.jsonl: 1 rows for 2 predictions",
            WHOLE,
        ),
    ),
    "verbs/show.py": (
        Mistake(
            "show runs",
            "runs: neither a run folder (recipe.toml) nor an adapter folder (adapter.json); run `lorafit runs runs` "
            "(lists those in it)",
        ),
        Mistake(
            "show folder", "folder: neither a run folder (recipe.toml) nor an adapter folder (adapter.json)"
        ),
        Mistake(
            "show runs/e2e_gpt2m/seed-0",
            "runs/e2e_gpt2m/seed-0: not readable as a run folder: Expected ']' at the end of a table "
            "declaration (at end of document)",
            {"runs/e2e_gpt2m/seed-0/recipe.toml": "[model"},
        ),
        Mistake(
            "show adapter",
            "adapter: not readable as an adapter folder: it ends too early",
            {"adapter/adapter.safetensors": b"short"},
        ),
        Mistake(
            "show adapter",
            "adapter: not readable as an adapter folder: Expecting property name enclosed in double "
            "quotes: line 1 column 2 (char 1)",
            {"adapter/adapter.json": "{"},
        ),
    ),
}
