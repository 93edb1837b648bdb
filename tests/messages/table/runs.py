"""Runs, sweeps, tables and pages; training that goes wrong; metrics and files of answers."""

from __future__ import annotations

from hashlib import sha256

from tests.messages.mistakes import Mistake, Table, edited, half, saved

DRY = "train reviews.toml --dry-run"
RUN = "runs/e2e_gpt2m/seed-0"
BEGUN, CHECKPOINT = "train reviews.toml --output begun", "begun/checkpoints/step-2"
MANIFEST = f"{CHECKPOINT}/manifest.json"
LIST = saved([1])
ENTRY = {"sha256": sha256(LIST).hexdigest(), "num_bytes": len(LIST)}
UNREADABLE = "/proc/self/mem"  # a file that is there, and whose first byte is not
HELD = '{"host": "elsewhere", "pid": 7, "started": "1", "job": null}'
SAID = '{"prediction": "a", "references": ["a"]}\n'
TEXTS = """>>> from lorafit.metrics.scorers import find_scorer
from lorafit.metrics.scoring import score_texts
score_texts(find_scorer("e2e", "paper"), """
METRIC = "eval labels --data rows.csv --metric"


def compared(one: str | bytes, other: str | bytes, read: str) -> Mistake:
    """Two files of predictions."""
    return Mistake("compare one.jsonl other.jsonl", read, {"one.jsonl": one, "other.jsonl": other})


def scored(said: str, right: str | bytes, read: str, *options: str) -> Mistake:
    """Texts with right ones."""
    return Mistake(
        " ".join(["score e2e said.txt right.txt", *options]), read, {"said.txt": said, "right.txt": right}
    )


def of_function(code: str, name: str, read: str) -> Mistake:
    """A metric of one's own."""
    return Mistake(f"{METRIC} mine.py:{name}", read, {"mine.py": code})


PREFIX = "--set method.name=prefix --set method.length=2 --unset method.r --unset method.alpha --unset method.targets"
SAME = "--set method.r=4 --set method.alpha=8"
MANY = "review,stars\n" + "good,5\nbad,1\n" * 600

MISTAKES: Table = {
    "cache.py": (
        Mistake(
            "LORAFIT_CACHE_GB=much train reviews.toml",
            "LORAFIT_CACHE_GB: must be a number of gigabytes, 0 to keep nothing; got 'much'",
        ),
    ),
    "errors.py": (
        Mistake(
            "repro table2 --rows 'GPT-5' --dry-run",
            "Table 2: no row 'GPT-5'; there are RoBERTa base (FT), RoBERTa base (BitFit), RoBERTa "
            "base (Adapter-D 0.3M), RoBERTa base (Adapter-D 0.9M), RoBERTa base (LoRA), RoBERTa "
            "large (FT), RoBERTa large (LoRA), RoBERTa large (Adapter-P 3.0M †), RoBERTa large "
            "(Adapter-P 0.8M †), RoBERTa large (Adapter-H 6.0M †), RoBERTa large (Adapter-H 0.8M †), "
            "RoBERTa large (LoRA †), DeBERTa XXL (FT), DeBERTa XXL (LoRA)",
        ),
        Mistake(
            "import peft out --format pefft --base base",
            "no adapter format 'pefft'; did you mean 'peft'? there are peft, loralib, gguf",
        ),
        Mistake(
            "train quickstart --dry-run --set eval.metrics='[\"blue\"]'",
            "no metric 'blue'; did you mean 'bleu'? there are …, 'evaluate:NAME', a function of your "
            "own ('FILE.py:FUNCTION') and the path of a metric script (.py)",
        ),
    ),
    "files.py": (
        Mistake("merge adapter folder", "folder: already exists; choose another OUTPUT"),
        Mistake("merge adapter rows.csv/out", "rows.csv/out: cannot be written: File exists"),
    ),
    "metrics/comparison.py": (
        compared("{", SAID, "one.jsonl:1: not valid JSON: Expecting property name enclosed in double quotes"),
        compared("[]\n", SAID, "one.jsonl:1: not a prediction: an object with 'prediction' is expected"),
        compared("", SAID, "one.jsonl: is empty"),
        compared(
            b"\xff\n",
            SAID,
            "one.jsonl: cannot be read: 'utf-8' codec can't decode byte 0xff in position 0: invalid "
            "start byte",
        ),
        compared(
            '{"prediction": "a", "references": [""]}\n',
            '{"prediction": "b", "references": [""]}\n',
            "no text has a reference, so neither run can be called better",
        ),
        compared(SAID, SAID * 2, "the runs predict 1 and 2 examples, so they cannot be compared pairwise"),
        compared(
            SAID,
            '{"prediction": "a", "references": ["b"]}\n',
            "prediction 1: the runs have different examples there (references)",
        ),
        compared(
            '{"prediction": "a", "label": null}\n',
            '{"prediction": "b", "label": null}\n',
            "prediction 1 has no label, so neither run can be called better there",
        ),
    ),
    "metrics/external.py": (
        Mistake(
            f"{METRIC} evaluate:nothing",
            "metric 'evaluate:nothing' cannot be loaded (FileNotFoundError: Couldn't find a module "
            "script at …/nothing/nothing.py. Module 'nothing' doesn't exist on the Hugging Face Hub "
            "either.); without a network, give the path of a local script (.py)",
        ),
        Mistake(
            f"{METRIC} evaluate:broken.py",
            "metric 'evaluate:broken.py' cannot be loaded (SyntaxError: invalid syntax (broken.py, "
            "line 1)); without a network, give the path of a local script (.py)",
            {"broken.py": "1 +"},
        ),
        Mistake(
            f"{METRIC} broken.py",
            "metric 'broken.py' cannot be loaded (SyntaxError: invalid syntax (broken.py, line 1))",
            {"broken.py": "1 +"},
        ),
    ),
    "metrics/files.py": (
        scored(
            "a\nb\n",
            "a\n",
            "right.txt: 1 groups of references (blank lines between them) in 1 lines, for 2 predictions",
        ),
        scored(
            "a\nb\n",
            "a\n\nb\n\nc\n",
            "right.txt: 3 groups of references (blank lines between them) in 5 lines, for 2 predictions",
        ),
        Mistake(
            "score e2e said.txt one.txt two.txt",
            "one.txt: 2 lines for 1 predictions",
            {"said.txt": "a\n", "one.txt": "a\nb\n", "two.txt": "a\n"},
        ),
        scored("a\n", b"\xff\n", "right.txt:1: not UTF-8 (byte 0xff)"),
        scored("a\n", "", "right.txt: is empty"),
        scored("a\nb\n", "a\n\n", "right.txt:2: no reference, and there is no other file"),
        Mistake(
            "score e2e said.txt right.txt --split-file nowhere",
            "nowhere: no such file",
            {"said.txt": "a\n", "right.txt": "a\n"},
        ),
        Mistake(
            "score e2e said.txt right.txt --split-file folder",
            "folder: cannot be read (Is a directory)",
            {"said.txt": "a\n", "right.txt": "a\n"},
        ),
        Mistake(
            "score e2e said.txt right.txt --split-file parts",
            "parts:1: expected a label other than 'all', found 'all'",
            {"said.txt": "a\n", "right.txt": "a\n", "parts": "all\n"},
        ),
        Mistake(
            "score e2e said.txt one.txt two.txt",
            "one.txt:2: no reference, here or in the other 1 files",
            {"said.txt": "a\nb\n", "one.txt": "a\n\n", "two.txt": "a\n\n"},
        ),
    ),
    "metrics/function.py": (
        of_function("1 +", "score", "mine.py:1: is no Python: invalid syntax"),
        of_function("a = 1", "score", "mine.py: no function 'score'; it has a"),
        of_function("score = 1", "score", "mine.py: 'score' is no function"),
        Mistake(
            f"{METRIC} nowhere.py:score", "nowhere.py: no such file of metrics (No such file or directory)"
        ),
    ),
    "metrics/scoring.py": (
        Mistake(f"{METRIC} bleu", "metric 'bleu' compares texts, and the task's predictions are labels"),
        Mistake(f"{TEXTS}[], [])", "there are no predictions to score"),
        Mistake(f"{TEXTS}['a'], [])", "1 predictions, but references for 0"),
        Mistake(f"{TEXTS}['a'], [['a']], splits=[])", "1 predictions, but 0 split labels"),
        Mistake(f"{TEXTS}['a'], [['', ' ']])", "prediction 1 has no reference: every one of its 2 is empty"),
    ),
    "page/members.py": (
        Mistake("report nowhere", "nowhere: no run folder, and none lies in it"),
        Mistake("report folder", "folder: no run folder, and none lies in it"),
        Mistake(
            "report made",
            "made/sweep.json: cannot be read: Expecting property name enclosed in double quotes: "
            "line 1 column 2 (char 1)",
            {"made/sweep.json": "{"},
        ),
        Mistake(
            "report made",
            "made/sweep.json: members: a list of objects is expected",
            {"made/sweep.json": '{"members": 3}'},
        ),
    ),
    "page/run.py": (
        Mistake(
            "report runs/e2e_gpt2m/seed-0",
            "runs/e2e_gpt2m/seed-0/recipe.toml: cannot be read: Expected ']' at the end of a table "
            "declaration (at end of document)",
            {f"{RUN}/recipe.toml": "[model"},
        ),
    ),
    "paper/runs.py": (
        Mistake("table 3 rows.csv", "rows.csv: no such folder of runs"),
        Mistake(
            "table 3 runs",
            "runs/e2e_gpt2m/seed-0: not readable as a run folder: Expected ']' at the end of a table "
            "declaration (at end of document)",
            {f"{RUN}/recipe.toml": "[model"},
        ),
    ),
    "run/files/folder.py": (
        Mistake(
            f"sweep quickstart --seeds 0,1 --output {RUN}",
            f"{RUN}: is the folder of a run, and not of several; choose another --output",
        ),
        Mistake(
            "train reviews.toml --output folder",
            "folder: already exists and is not a run folder; choose another --output",
        ),
        Mistake(
            "train reviews.toml --resume must",
            "runs/reviews/seed-0: no checkpoint to resume from; use --resume auto (starts the run)",
        ),
        Mistake(
            f"train reviews.toml --output {RUN}",
            "runs/e2e_gpt2m/seed-0: holds a run of another recipe (changed: data.format: 'e2e' -> "
            "None; data.train: None -> 'rows.csv'; decode.eos_token_ids: (50256, 628) -> None; "
            "decode.length_penalty: 0.8 -> 1.0; decode.no_repeat_ngram_size: 4 -> 0; method.alpha: "
            "32.0 -> 4.0; method.dropout: 0.1 -> 0.0; method.r: 4 -> 2; model.base: "
            "'openai-community/gpt2-medium' -> 'encoder'; model.dropout: 0.0 -> None; model.dtype: "
            "'float32' -> 'auto'; task.completion: 'completion' -> None; task.completion_prefix: ' ' "
            "-> None; task.headline: 'bleu' -> 'accuracy'; task.label: None -> 'stars'; "
            "task.label_values: None -> 'names'; task.labels: None -> ('1', '5'); task.metrics: None "
            "-> ('accuracy', 'f1'); task.name: 'e2e' -> 'classification'; task.prompt: 'prompt' -> "
            "None; task.prompt_start: 'tokenizer' -> None; task.score_on: 'test' -> None; "
            "task.scorer: 'e2e-metrics' -> None; task.separator: 'eos' -> None; task.stop_text: "
            "'\\n\\n' -> None; task.text: None -> 'review'; train.adam_epsilon: 1e-06 -> 1e-08; "
            "train.batch_order: 'random' -> 'bucketed'; train.batch_size: 8 -> 2; train.epochs: 5.0 "
            "-> 1.0; train.label_smoothing: 0.1 -> 0.0; train.last_batch: 'fill' -> 'short'; "
            "train.learning_rate: 0.0002 -> 0.001; train.warmup_steps: 500 -> None; "
            "train.weight_decay: 0.01 -> 0.0); choose another --output, or delete it",
        ),
        Mistake(
            "train reviews.toml --output made",
            "made/scores.json: cannot be read: Expecting property name enclosed in double quotes: "
            "line 1 column 2 (char 1)",
            {"made/recipe.toml": "", "made/scores.json": "{"},
        ),
        Mistake(
            "train reviews.toml --output made",
            "made/scores.json: inputs: not what lorafit writes there",
            {"made/recipe.toml": "", "made/scores.json": '{"scores": {}, "inputs": 3}'},
        ),
    ),
    "run/files/checkpoint.py": (
        Mistake(
            BEGUN,
            f"{CHECKPOINT}: written by an earlier lorafit, whose random draws were others; use --resume "
            "never (starts over), or finish the run with lorafit 0.1",
            {MANIFEST: edited(format_version=1)},
        ),
        Mistake(
            BEGUN,
            f"{CHECKPOINT}: format version 99 is newer than this lorafit reads (2); upgrade lorafit, or use "
            "--resume never (starts over)",
            {MANIFEST: edited(format_version=99)},
        ),
        Mistake(
            f"{BEGUN} --resume must",
            f"begun: no checkpoint to resume from; {MANIFEST}: there is no format version 'two'; use "
            "--resume auto (starts the run)",
            {MANIFEST: edited(format_version="two")},
        ),
        Mistake(
            f"{BEGUN} --resume must",
            f"begun: no checkpoint to resume from; {MANIFEST}: cannot be read: Expecting property name "
            "enclosed in double quotes: line 1 column 2 (char 1); use --resume auto (starts the run)",
            {MANIFEST: "{"},
        ),
        Mistake(
            f"{BEGUN} --resume must",
            f"begun: no checkpoint to resume from; {CHECKPOINT}/state.pt: missing, or not what manifest.json "
            "says; use --resume auto (starts the run)",
            {f"{CHECKPOINT}/state.pt": half},
        ),
        Mistake(
            f"{BEGUN} --resume must",
            f"begun: no checkpoint to resume from; {CHECKPOINT}: cannot be read: state.pt holds no dict; use "
            "--resume auto (starts the run)",
            {f"{CHECKPOINT}/state.pt": LIST, MANIFEST: edited(files={"state.pt": ENTRY})},
        ),
    ),
    "run/events.py": (
        Mistake(
            BEGUN,
            "begun/metrics.jsonl: cannot be written: Is a directory",
            {"begun/metrics.jsonl": None, "begun/metrics.jsonl/folder": ""},
            leaves=("begun",),
        ),
    ),
    "run/trainer.py": (
        Mistake(
            "train reviews.toml --set train.weight_decay=1e4 --set train.learning_rate=0.02 --set train.epochs=9",
            "step …: the loss is nan; the last good adapter is in runs/reviews/seed-0/adapter and "
            "runs/reviews/seed-0/adapter-last; use --set train.learning_rate=… (lower), or use --set "
            "train.warmup_steps=… (more), or use --set model.dtype=float32",
            leaves=("runs",),
        ),
        Mistake(
            "train reviews.toml --set train.max_steps=1 --set train.learning_rate=1e30 --set train.warmup_steps=0 "
            "--set data.valid=rows.csv",
            "epoch 1: the validation loss is nan; use --set train.learning_rate=… (lower)",
            leaves=("runs",),
        ),
    ),
    "run/checkpointer.py": (
        Mistake(
            "train reviews.toml --set train.max_steps=1 --set train.learning_rate=1e30 --set train.warmup_steps=0",
            "step 1: the adapter answers with NaN; use --set train.learning_rate=… (lower)",
            leaves=("runs",),
        ),
    ),
    "training/health.py": (
        Mistake(
            f"train answers.toml {SAME} --set train.init_from=still --set train.epochs=9",
            "step 3: 4 of 4 trained tensors have not moved: transformer.h.0.attn.c_attn.lora_A, "
            "transformer.h.0.attn.c_attn.lora_B, transformer.h.1.attn.c_attn.lora_A, "
            "transformer.h.1.attn.c_attn.lora_B; no gradient reaches them, so nothing would be learned there",
            leaves=("runs",),
        ),
    ),
    "recipe/layers.py": (
        Mistake(f"train {UNREADABLE}", f"{UNREADABLE}: cannot be read: Input/output error"),
    ),
    "data/sources.py": (
        Mistake(
            f"train reviews.toml --set data.train={UNREADABLE} --set data.format=csv",
            f"{UNREADABLE}: cannot be read: Input/output error",
        ),
    ),
    "run/files/lock.py": (
        Mistake(
            "train reviews.toml --output made",
            "made: process 7 on elsewhere works on this run, or died there, which cannot be seen from this "
            "machine; wait for it, or if it is gone, delete made/run.lock",
            {"made/run.lock": HELD},
        ),
        Mistake(
            "train reviews.toml --output rows.csv/made", "rows.csv/made: cannot be written: Not a directory"
        ),
    ),
    "verbs/runs.py": (
        Mistake(
            f"runs rm {RUN} --yes",
            f"{RUN}: process 7 on elsewhere works on this run",
            {f"{RUN}/run.lock": HELD},
        ),
    ),
    "training/sharding.py": (
        Mistake(
            f"{DRY} --set train.parallel=fsdp --set method.name=full --unset method.r --unset method.alpha "
            "--unset method.targets",
            "[train] parallel: 'fsdp' shards the frozen weights of blocks; this method and base have none; "
            "use --set train.parallel=ddp",
        ),
    ),
    "run/files/partial.py": (
        Mistake(
            "predict labels --input rows.csv --output out.csv",
            "out.csv.partial: cannot be written: Is a directory",
            {"out.csv.partial/folder": ""},
        ),
        Mistake(
            "predict labels --input rows.csv --output out.csv",
            "out.csv.partial: was begun with other adapters and rows and settings; give the same "
            "again, or choose another --output, or delete that file to begin anew",
            {"out.csv.part": '{"job": {}}\n', ".out.csv.part": "{}\n", "out.csv.partial": "{}\n"},
        ),
    ),
    "training/recompute.py": (
        Mistake(
            f"{DRY} --set model.base=ibert --set train.gradient_checkpointing=true "
            "--set 'method.targets=[\"classifier.dense\"]'",
            "[train] gradient_checkpointing: ibert cannot do that; use --set train.gradient_checkpointing=false",
        ),
    ),
    "training/compiled.py": (
        Mistake(
            f"{DRY} --set model.base=ibert --set train.compile=true "
            "--set 'method.targets=[\"classifier.dense\"]'",
            "[train] compile: ibert cannot be compiled: its examples do not share a row; use "
            "--set train.compile=false",
        ),
    ),
    "run/plan.py": (
        Mistake(
            f"{DRY} --set train.batch_size=99 --set train.last_batch=drop",
            "[train] batch_size: 99 is more than the 4 training rows, and last_batch is 'drop', so "
            "there is no batch; use --set train.batch_size=… (lower)",
        ),
        Mistake(
            f"{DRY} --set train.epochs=999999 --set train.batch_size=1 --set data.train=many.csv",
            "[train] epochs: 999999 of 1,200 steps each are more than 1,000,000,000 steps, and at a "
            "thousand steps a second that is eleven days already; use --set train.epochs=… (lower)",
            {"many.csv": MANY},
        ),
        Mistake(
            f"{DRY} --set train.epochs=999999 --set train.batch_tokens=1 --unset train.batch_size "
            "--set data.train=many.csv",
            "[train] epochs: 999999 of … steps each are more than 1,000,000,000 steps, and at a thousand "
            "steps a second that is eleven days already; use --set train.epochs=… (lower)",
            {"many.csv": MANY},
        ),
        Mistake(
            f"{DRY} --set train.patience=2",
            "[train] patience: there is no validation split, so no epoch is better than another; use "
            "--set data.valid=… (a file, or a share of the training rows such as 0.1)",
        ),
        Mistake(
            "train answers.toml --dry-run --set model.base=encoder",
            "[model] base: encoder (roberta) writes no text, which generation needs; take one of …",
        ),
        Mistake(
            f"{DRY} --set model.base=granite",
            "[model] base: granite (granite) has no head for labels, which classification needs; "
            "take one of …",
        ),
    ),
    "run/trained_shape.py": (
        Mistake(
            f"train answers.toml {PREFIX} --dry-run --set train.init_from=prefixes",
            "[train] init_from: prefix trains through '…', which no adapter keeps; use --set method.hidden=0 (trains "
            "the result itself)",
        ),
        Mistake(
            f"{DRY} --set train.parallel=fsdp --set model.quantize=nf4",
            "[train] parallel: fsdp cannot shard a base in 4 bits; use --set train.parallel=ddp",
        ),
        Mistake(
            f"{DRY} --set method.init=pissa --set model.quantize=nf4",
            "[method] init: takes its start out of the base, which is held in 4 bits; choose another",
        ),
    ),
    "models/quantized.py": (
        Mistake(
            f"{DRY} --set model.quantize=nf4 --set method.name=full --unset method.r --unset method.alpha "
            f"--unset method.targets",
            "[model] quantize: roberta.encoder.layer.0.attention.output.dense.weight would train, "
            "and cannot in 4 bits; only LoRA trains beside such weights",
        ),
    ),
    "training/loop.py": (
        Mistake(
            "train answers.toml --set train.learning_rate=1e30 --set train.epochs=9 --set train.batch_size=1",
            "step 2: the loss is nan; use --set train.learning_rate=… (lower), or use --set "
            "train.warmup_steps=… (more), or use --set model.dtype=float32",
            leaves=("runs",),
        ),
    ),
    "run/session.py": (
        Mistake(
            "train answers.toml --set model.base=nan-base",
            "nan-base: answers with NaN before anything is trained; its weights are damaged",
        ),
    ),
    "run/warm_start.py": (
        Mistake(
            f"train answers.toml {SAME} --set train.init_from=on-other-base",
            "[train] init_from: on-other-base was trained on another base, …/other-base: it differs from base in its "
            "weights; use --set model.base=… (to the adapter's)",
        ),
        Mistake(
            f"train answers.toml {SAME} --set method.init_from=on-other-base",
            "[method] init_from: on-other-base was trained on another base, …/other-base: it differs "
            "from base in its weights; use --set model.base=… (to the adapter's)",
        ),
        Mistake(
            "train answers.toml --dry-run --set method.init_from=adapter --set method.r=4 --set method.alpha=8",
            "[method] init_from: adapter: 'transformer.h.0.attn.c_attn.lora_A' is [8, 32], but this base "
            "and its targets need [8, 64]",
            {"base/config.json": edited(n_embd=64)},
        ),
        Mistake(
            "train answers.toml --dry-run --set method.init_from=positions "
            "--set 'method.also_train=[\"transformer.wpe.weight\"]'",
            "[method] init_from: positions: 'transformer.wpe.weight' is [128, 32], but this base has [64, 32]",
            {"base/config.json": edited(n_positions=64)},
        ),
        Mistake(
            "train reviews.toml --set train.init_from=labels",
            "[train] init_from: labels has r = 4, and this recipe 2; they must be equal",
        ),
        Mistake(
            "train reviews.toml --set train.init_from=prefixes",
            "[train] init_from: prefixes was trained with prefix, and this recipe trains lora",
        ),
        Mistake(
            "train reviews.toml --set method.init_from=labels",
            "[method] init_from: labels has r = 4, and this recipe 2; they must be equal",
        ),
        Mistake(
            f"train reviews.toml {SAME} --set method.init_from=adapter",
            "[method] init_from: adapter: 'roberta.encoder.layer.0.attention.self.query.lora_A' is "
            "missing, but this base and its targets need [4, 32]",
        ),
        Mistake(
            f"train reviews.toml {SAME} --set method.init_from=on-other-base",
            "[method] init_from: on-other-base: "
            "'roberta.encoder.layer.0.attention.self.query.lora_A' is missing, but this base and its "
            "targets need [4, 32]",
        ),
        Mistake(
            f"train reviews.toml {SAME} --set 'method.targets=[\"key\"]' --set method.init_from=labels",
            "[method] init_from: labels: 'roberta.encoder.layer.0.attention.self.key.lora_A' is "
            "missing, but this base and its targets need [4, 32]",
        ),
        Mistake(
            f"train reviews.toml {SAME} --set 'method.targets=[\"query\"]' --set method.init_from=labels",
            "[method] init_from: labels: also trained "
            "'roberta.encoder.layer.0.attention.self.value.lora_A'; use --set method.targets=… (to "
            "the adapter's, and method.also_train too)",
        ),
    ),
    "sweep/grid.py": (
        Mistake(
            "sweep quickstart --dry-run",
            "[sweep]: nothing varies; name settings and values in grid, or several seeds in seeds",
        ),
        Mistake(
            "sweep quickstart --dry-run --grid train.seed=1,2",
            "[sweep] grid: train.seed is varied by seeds, since results are averaged over them",
        ),
        Mistake(
            "sweep quickstart --dry-run --grid 'method.targets=[[\"query\"]]'",
            "[sweep] grid: method.targets takes texts, numbers, true and false, and lists and tables "
            "of them; got (['query'],)",
        ),
        Mistake(
            "sweep quickstart --dry-run --grid method.r=2,2",
            "[sweep] grid: method.r needs values, each of them once; got [2, 2]",
        ),
        Mistake(
            "sweep quickstart --dry-run --grid method.r",
            "grid method.r: must read section.key=value,value,..., such as train.learning_rate=1e-4,1e-3",
        ),
    ),
    "sweep/sweep.py": (
        Mistake(
            'sweep quickstart --dry-run --grid \'method.targets=["c_att*"],["c_att?"]\'',
            "[sweep] grid: targets = c_att*, seed 1 and targets = c_att?, seed 1 would lie in one folder, "
            "runs/quickstart-sweep/targets=c_att-/seed-1; name them otherwise, or sweep them apart",
        ),
        Mistake(
            "sweep quickstart --dry-run --seeds 0..999 --grid method.r=1,2,3,4,5,6,7,8,9,10,11",
            "[sweep]: 11,000 runs are more than 10,000; fewer values",
        ),
        Mistake(
            "sweep quickstart --dry-run --grid task.headline=bleu,rouge_l",
            "[sweep] grid: headline = bleu, seed 1 is judged by bleu and headline = rouge_l, seed 1 by rouge_l, which "
            "do not compare; sweep them apart",
        ),
    ),
    "training/optim.py": (
        Mistake(
            f"{DRY} --set train.lora_plus_ratio=16 --set method.name=bitfit --unset method.r "
            "--unset method.alpha --unset method.targets",
            "[train] lora_plus_ratio: the method has no LoRA layers, whose B it is for",
        ),
    ),
    "decoding/beam.py": (
        Mistake(
            "predict adapter hi --base nan-base --force --strategy beam",
            "decoding: no continuation has a probability; are the model's weights NaN?",
        ),
    ),
    "decoding/sampling.py": (
        Mistake(
            "predict adapter hi --temperature -1",
            "temperature: must be a finite number greater than 0; got -1.0; choose another --temperature",
        ),
        Mistake(
            "predict adapter hi --greedy --temperature 1",
            "temperature: greedy decoding takes none; got 1.0; leave out --temperature",
        ),
    ),
    "tasks/submission.py": (
        Mistake(
            "eval mnli --data pairs.csv --glue-submission out",
            "there are no matched rows to submit; a submission needs the whole test split of mnli; "
            "leave out --data",
            {"pairs.csv": "premise,hypothesis,label\na,b,0\n"},
        ),
    ),
    "api.py": (
        Mistake(
            ">>> lorafit.load('labels').predict('good')",
            "inputs: must be a list of inputs, and this is one; put it into a list",
        ),
    ),
}
