"""Every case of the record: name -> what the program is made to do, and what is kept of it, by groups."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from lorafit.version import __version__
from tests.support.same_numbers import kept, recipes
from tests.support.same_numbers.facts import BFLOAT16_TOLERANCE, Facts, flat_numbers
from tests.support.same_numbers.place import Place, add_predictions, plan_facts, run_facts, tensors_of
from tests.support.same_numbers.recipes import INTERRUPTED, TRAINED, WARM_STARTS

Case = Callable[[Place], Facts]


def trained(name: str, place: Place) -> Facts:
    """A whole run."""
    plan = plan_facts(place.json("train", place.write_recipe(name, TRAINED[name]), "--dry-run"))
    facts = run_facts(place.root / place.trained(name, TRAINED[name]))
    facts.exact |= {key: plan.exact[key] for key in plan.exact if key != "parameters"}
    if TRAINED[name]["model"].get("dtype") == "bfloat16":
        facts.tolerance = BFLOAT16_TOLERANCE
    return facts


def warm_start(name: str, place: Place) -> Facts:
    """A run that starts from another one's adapter."""
    recipe, source = WARM_STARTS[name]
    place.trained(source, TRAINED[source])
    return run_facts(place.root / place.trained(name, recipe))


PROCESSES = recipes.IN_PROCESSES | recipes.IN_PROCESSES_WITH_DROPOUT


def two_processes(name: str, place: Place) -> Facts:
    """A run on two processes."""
    ended = place.in_processes(PROCESSES, INTERRUPTED)[f"{name}-two"]
    assert ended.codes == [0, 0], ended
    return run_facts(place.root / f"out/{name}-two")


def resumed(name: str, place: Place) -> Facts:
    """A run that was killed, or asked to stop, and went on."""
    ended = place.in_processes(PROCESSES, INTERRUPTED)
    assert ended[f"{name}-interrupted"].codes in ([75], [-9]), ended[f"{name}-interrupted"]
    assert ended[f"{name}-resumed"].codes == [0], ended[f"{name}-resumed"]
    return run_facts(place.root / f"out/{name}-resumed")


def _in_processes(names: Iterable[str]) -> dict[str, Case]:
    made: dict[str, Case] = {}
    for name in names:
        made[name] = partial(trained, name)
        made[f"{name}-two"] = partial(two_processes, name)
        if name in INTERRUPTED:
            made[f"{name}-resumed"] = partial(resumed, name)
    return made


CONTEXTS = (
    "name : Cotto | area : riverside | food : French",
    "name : Zizzi",
    "area : the old harbour",
    "Alimentum",
)


def predict(source: str, options: tuple[str, ...], place: Place) -> Facts:
    """Texts for contexts of one's own."""
    adapter = f"{place.trained(source, TRAINED[source])}/adapter"
    return Facts(exact={"lines": place.json("predict", adapter, *CONTEXTS, *options)})


def evaluate(source: str, options: tuple[str, ...], place: Place) -> Facts:
    """Scores and predictions of a split."""
    adapter = f"{place.trained(source, TRAINED[source])}/adapter"
    output = f"out/eval-{source}-{'-'.join(options).replace('/', '_')}"
    result = place.json("eval", adapter, *options, "--output", output)
    facts = Facts(numbers=flat_numbers("score", result["scores"]))
    add_predictions(facts, place.root / output / "predictions.jsonl")
    return facts


def submission(place: Place) -> Facts:
    """The files for gluebenchmark.com."""
    adapter = f"{place.trained('label_lora', TRAINED['label_lora'])}/adapter"
    place.ok("eval", adapter, "--split", "test", "--glue-submission", "out/sent", "--output", "out/eval-sent")
    return Facts(exact={path.name: path.read_text() for path in (place.root / "out/sent").iterdir()})


def verify(source: str, place: Place) -> Facts:
    """The verdict on an adapter."""
    result = place.json("verify", f"{place.trained(source, TRAINED[source])}/adapter")
    return Facts(exact={"verdict": result["verdict"], "ok": result["ok"]})


DECODING: dict[str, Case] = {
    "beam": partial(predict, "text_lora", ()),
    "beam_llama": partial(predict, "llama", ("--max-new-tokens", "12")),
    "beam_prefix": partial(predict, "text_prefix_layer", ("--batch-size", "1")),
    "greedy": partial(predict, "text_lora", ("--strategy", "greedy", "--batch-size", "3")),
    "greedy_adapter": partial(predict, "text_adapter_lin", ("--strategy", "greedy")),
    "greedy_mistral": partial(predict, "mistral", ("--strategy", "greedy", "--max-new-tokens", "20")),
    "sample": partial(predict, "text_lora", ("--strategy", "sample", "--seed", "5")),
    "sample_top_p": partial(
        predict,
        "text_full",
        ("--strategy", "sample", "--seed", "6", "--temperature", "0.7", "--top-p", "0.8"),
    ),
    "eval_text": partial(evaluate, "text_lora", ("--split", "valid", "--metric", "bleu", "--metric", "nist")),
    "eval_text_file": partial(
        evaluate, "text_full", ("--split", "test", "--data", "data/e2e/valid.txt", "--metric", "rouge_l")
    ),
    "eval_webnlg": partial(evaluate, "webnlg", ("--split", "test", "--metric", "bleu", "--metric", "ter")),
    "eval_label": partial(
        evaluate, "label_lora", ("--split", "train", "--metric", "accuracy", "--metric", "f1")
    ),
    "eval_unlabelled": partial(evaluate, "label_lora", ("--split", "test")),
    "eval_mnli": partial(evaluate, "bert_mnli", ("--split", "valid")),
    "eval_regression": partial(evaluate, "regression_lora", ("--split", "valid")),
    "submission": submission,
    "verify_text": partial(verify, "text_lora"),
    "verify_label": partial(verify, "regression_adapter_pfeiffer"),
}


def merge(source: str, options: tuple[str, ...], place: Place) -> Facts:
    """Every tensor of the merged model."""
    output = f"out/merged-{source}{''.join(options)}"
    place.ok("merge", f"{place.trained(source, TRAINED[source])}/adapter", output, *options)
    return Facts(tensors=tensors_of(place.root / output))


def export_peft(source: str, place: Place) -> Facts:
    """peft's tensors, what decides their function, and the adapter that comes back."""
    adapter, output = f"{place.trained(source, TRAINED[source])}/adapter", f"out/peft-{source}"
    place.ok("export", adapter, output, "--format", "peft")
    facts = Facts(tensors=tensors_of(place.root / output))
    config = json.loads((place.root / output / "adapter_config.json").read_text())
    keys = ("r", "lora_alpha", "target_modules", "task_type", "fan_in_fan_out", "modules_to_save", "bias")
    facts.exact = {key: _in_order(config[key]) for key in (*keys, "rank_pattern", "alpha_pattern")}
    _come_back(facts, place, source, [output, f"out/from-peft-{source}", "--format", "peft"])
    return facts


def export_loralib(source: str, place: Place) -> Facts:
    """loralib's tensors, and the adapter that comes back."""
    adapter, output = f"{place.trained(source, TRAINED[source])}/adapter", f"out/loralib-{source}"
    place.ok("export", adapter, output, "--format", "loralib")
    [path] = (place.root / output).glob("*.bin")
    document = torch.load(path, weights_only=True)
    facts = Facts(tensors=dict(document.get("model_state_dict", document)))
    file = str(path.relative_to(place.root))
    alpha = str(TRAINED[source]["method"]["alpha"])
    _come_back(
        facts, place, source, [file, f"out/from-loralib-{source}", "--format", "loralib", "--alpha", alpha]
    )
    return facts


def _come_back(facts: Facts, place: Place, source: str, arguments: list[str]) -> None:
    """Import what was exported: method, task and tensors."""
    recipe = TRAINED[source]
    more = ["--base", recipe["model"]["base"], "--task", recipe["task"]["name"]]
    for target in recipe["method"].get("targets", ()):
        more += ["--target", target] if "loralib" in arguments else []
    result = place.json("import", *arguments, *more)
    facts.exact["imported"] = {key: result["method"][key] for key in ("name", "r", "alpha", "targets")}
    back = tensors_of(place.root / arguments[1])
    names = [name for name in back if name not in ("input_ids", "columns")]
    facts.tensors |= {f"imported/{name}": back[name] for name in names}


def _in_order(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) else value


CONVERSION: dict[str, Case] = {
    "merge_text": partial(merge, "text_lora", ()),
    "merge_text_bfloat16": partial(merge, "text_lora", ("--dtype", "bfloat16")),
    "merge_shards": partial(merge, "llama", ("--max-shard-size", "40KB")),
    "merge_label": partial(merge, "bert_mnli", ()),
    "merge_label_bfloat16": partial(merge, "deberta_mnli", ("--dtype", "bfloat16")),
    "merge_regression": partial(merge, "regression_full", ()),
    "merge_top2": partial(merge, "text_top2", ()),
    "merge_bitfit": partial(merge, "label_bitfit", ()),
    "merge_paper_init": partial(merge, "paper_init", ()),
    "peft_text": partial(export_peft, "text_lora"),
    "peft_llama": partial(export_peft, "llama"),
    "peft_label": partial(export_peft, "bert_mnli"),
    "loralib_text": partial(export_loralib, "text_lora"),
    "loralib_slices": partial(export_loralib, "query_and_key"),
    "loralib_label": partial(export_loralib, "label_lora"),
    "loralib_deberta": partial(export_loralib, "deberta_mnli"),
}


def score(task: str, metrics: tuple[str, ...], options: tuple[str, ...], place: Place) -> Facts:
    """Scores of a text file."""
    by_name = [argument for name in metrics for argument in ("--metric", name)]
    result = place.json("score", task, "data/score/predictions", "data/score/references", *by_name, *options)
    own = f"lorafit:{__version__}"
    signatures = {name: text.replace(own, "lorafit") for name, text in result["signatures"].items()}
    return Facts(numbers=flat_numbers("score", result["scores"]), exact={"signatures": signatures})


_SPLITS = ("--split-file", "data/score/splits")
_PAPER = ("--protocol", "paper")

SCORING: dict[str, Case] = {
    "score_e2e": partial(score, "e2e", ("bleu", "nist", "rouge_l", "cider"), ()),
    "score_dart": partial(score, "dart", ("bleu", "ter", "chrf"), ()),
    "score_dart_paper": partial(score, "dart", ("bleu", "ter", "chrf"), _PAPER),
    "score_webnlg": partial(score, "webnlg", ("bleu", "ter", "chrf"), _SPLITS),
    "score_webnlg_paper": partial(score, "webnlg", ("bleu", "ter", "chrf"), (*_SPLITS, *_PAPER)),
}


def plan(name: str, base: str, place: Place) -> Facts:
    """What a shipped recipe comes to on a tiny base."""
    place.make_base(base)
    data = "data/e2e" if base == "bases/gpt2" else "data/glue"
    settings = (f"model.base={base}", f"data.dir={data}", "decode.max_new_tokens=40")
    arguments = [argument for setting in settings for argument in ("--set", setting)]
    result = place.json("train", name, "--dry-run", *arguments)
    facts = plan_facts(result)
    for section, table in result["recipe"].items():
        values = table if isinstance(table, dict) else {"": table}
        facts.exact |= {f"recipe.{section}.{key}".rstrip("."): value for key, value in values.items()}
    return facts


def own_plan(name: str, place: Place) -> Facts:
    """What a recipe of the record comes to, parameter by parameter."""
    return plan_facts(place.json("train", place.write_recipe(name, TRAINED[name]), "--dry-run"))


def show(recipe: str, options: tuple[str, ...], place: Place) -> Facts:
    """Rows as the model sees them."""
    out = place.ok("data", "show", place.write_recipe(recipe, TRAINED[recipe]), *options, "--json")
    return Facts(exact={"rows": [json.loads(line) for line in out.splitlines()]})


def analyze(place: Place) -> Facts:
    """Subspaces of two adapters, and their amplification of the base's weights."""
    adapters = [f"{place.trained(name, TRAINED[name])}/adapter" for name in ("text_lora", "label_smoothing")]
    result = place.json("analyze", *adapters, "--amplification", "--output", "out/analysis")
    return Facts(rough=_all_numbers(result))  # LAPACK's last bits depend on where in memory an array lies


def compare(place: Place) -> Facts:
    """Two runs, example by example."""
    runs = [place.trained(name, TRAINED[name]) for name in ("text_lora", "text_full")]
    comparison = place.json("compare", *runs, "--samples", "100")
    assert comparison.pop("num_left_out", 0) == 0  # not on record: added later
    return Facts(numbers=_all_numbers(comparison))


def _all_numbers(value: Any, prefix: str = "") -> dict[str, list[float]]:
    """Lists too."""
    if isinstance(value, list):
        value = {str(i): part for i, part in enumerate(value)}
    if not isinstance(value, dict):
        return flat_numbers(prefix, value)
    parts = [_all_numbers(part, f"{prefix}.{key}".lstrip(".")) for key, part in value.items()]
    return {name: numbers for part in parts for name, numbers in part.items()}


PLANS: dict[str, Case] = {
    "plan_e2e": partial(plan, "e2e_gpt2m", "bases/gpt2"),
    "plan_e2e_prefix": partial(plan, "e2e_gpt2m_prefix", "bases/gpt2"),
    "plan_e2e_adapter": partial(plan, "e2e_gpt2m_adapter_l_370k", "bases/gpt2"),
    "plan_mnli": partial(plan, "mnli_roberta_base", "bases/roberta"),
    "plan_cola_deberta": partial(plan, "cola_deberta_xxl", "bases/deberta-v2"),
    "plan_stsb_houlsby": partial(plan, "stsb_roberta_large_houlsby_800k", "bases/roberta"),
    **{f"plan_{name}": partial(own_plan, name) for name in ("text_prefix_layer", "label_bitfit", "llama")},
    "show_e2e": partial(show, "text_lora", ("--count", "2")),
    "show_cut": partial(show, "short_rows", ("--split", "valid", "--count", "1")),
    "show_dart": partial(show, "dart", ("--count", "1")),
    "show_webnlg": partial(show, "webnlg", ("--split", "test", "--count", "2")),
    "analyze": analyze,
    "compare": compare,
}

GROUPS: dict[str, dict[str, Case]] = {
    "methods": {name: partial(trained, name) for name in recipes.EVERY_METHOD},
    "architectures": {name: partial(trained, name) for name in recipes.EVERY_ARCHITECTURE},
    "options": {
        **{name: partial(trained, name) for name in recipes.EVERY_OPTION},
        **{name: partial(warm_start, name) for name in WARM_STARTS},
    },
    "processes": _in_processes(recipes.IN_PROCESSES),
    "dropout": {
        **{name: partial(trained, name) for name in recipes.WITH_DROPOUT},
        **_in_processes(recipes.IN_PROCESSES_WITH_DROPOUT),
    },
    "decoding": DECODING,
    "conversion": CONVERSION,
    "scoring": SCORING,
    "plans": PLANS,
    "kept": {
        **{name: partial(kept.read_adapter, name) for name in kept.ADAPTERS},
        **{name: partial(kept.show_finished, name) for name in kept.FINISHED},
    },
    "unfinished": {name: partial(kept.uninterrupted, name) for name in kept.UNFINISHED},
}

RECORDS = Path(__file__).resolve().parents[2] / "assets" / "same_numbers"


def read_record(group: str) -> dict[str, Any]:
    """`machine` and `cases` of a group."""
    return dict(json.loads((RECORDS / f"{group}.json").read_text(encoding="utf-8")))
