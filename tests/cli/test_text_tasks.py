"""DART and WebNLG from raw files to scores, several seeds, eval and predict: the commands on a tiny base."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import recipe_overrides

PLACES = ("Aarhus", "Austin", "Kerala", "Athens", "Akita", "Romania")
CATEGORIES = ("Airport", "Artist")  # seen, unseen


def webnlg(places: tuple[str, ...]) -> Any:
    entries = []
    for number, place in enumerate(places, start=1):
        triple = {"subject": place, "property": "isPartOf", "object": "Earth"}
        texts = [
            {"comment": "good", "lex": f"{place} is a part of Earth ."},
            {"comment": "toFix", "lex": "?"},
        ]
        entry = {"category": CATEGORIES[number % 2], "modifiedtripleset": [triple], "lexicalisations": texts}
        entries.append({str(number): entry})
    return {"entries": entries}


def dart(places: tuple[str, ...]) -> Any:
    return [
        {
            "tripleset": [[place, "PART_OF", "Earth"]],
            "annotations": [{"source": "", "text": f"{place} is on Earth ."}],
        }
        for place in places
    ]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of the paper's repository, with small files."""
    root = tmp_path_factory.mktemp("data")
    for folder, make, names in (
        ("webnlg_challenge_2017", webnlg, ("train.json", "dev.json", "test.json")),
        ("dart", dart, ("dart-v1.1.1-full-train.json", "dart-v1.1.1-full-dev.json", "test.json")),
    ):
        (root / folder).mkdir()
        for name, places in zip(names, (PLACES, PLACES[:2], PLACES[2:]), strict=True):
            (root / folder / name).write_text(json.dumps(make(places)))
    return root


METRICS = ["bleu", "ter"]  # not METEOR, which takes Java 10 s


def arguments(base: Path, data: Path, run: Path, **more: Any) -> list[str | Path]:
    options = {"train__batch_size": 2, "decode__max_new_tokens": 4, "eval__metrics": METRICS} | more
    return [*recipe_overrides(base, data, **options), "--output", run]


def test_webnlg_from_raw_files_to_scores_of_all_seen_and_unseen(
    cli: Callable[..., Any], gpt2_base: Path, data: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    result = json.loads(cli("train", "webnlg_gpt2m", *arguments(gpt2_base, data, run), "--json").stdout)
    assert list(result["scores"]) == ["all", "seen", "unseen"]
    assert {name: list(figures) for name, figures in result["scores"].items()} == dict.fromkeys(
        ("all", "seen", "unseen"), METRICS
    )
    lines = [json.loads(line) for line in (run / "predictions" / "test.jsonl").read_text().splitlines()]
    assert [line["part"] for line in lines] == ["unseen", "seen"] * 2
    assert lines[0]["input"] == "Kerala : isPartOf : Earth"
    assert lines[0]["references"] == ["Kerala is a part of Earth ."]
    again = cli("train", "webnlg_gpt2m", *arguments(gpt2_base, data, run)).stdout
    assert "finished already" in again
    [row] = [line.split() for line in again.splitlines() if line.strip().startswith("unseen.bleu")]
    assert row[2] == "46.70"  # the paper's beside ours


def test_dart_seeds_have_a_folder_each_and_mean_and_deviation(
    cli: Callable[..., Any], gpt2_base: Path, data: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    command = ["train", "dart_gpt2m", "--seeds", "3,0", *arguments(gpt2_base, data, runs)]
    result = json.loads(cli(*command, "--json").stdout)
    assert [Path(run["run"]) for run in result["runs"]] == [runs / "seed-3", runs / "seed-0"]
    for seed in (3, 0):
        assert f"seed = {seed}\n" in (runs / f"seed-{seed}" / "recipe.toml").read_text()
    ters = [run["scores"]["ter"] for run in result["runs"]]
    assert result["mean"]["ter"] == pytest.approx(sum(ters) / 2)
    assert result["std"]["ter"] == pytest.approx(abs(ters[0] - ters[1]) / 2**0.5)
    assert result["paper"]["ter"] == 0.46
    table = cli(*command).stdout
    assert "seed 3  seed 0  mean" in table
    assert " ± " in table


@pytest.mark.parametrize(
    ("seeds", "message"),
    [("0,x", "must be whole numbers"), ("0,0", "twice"), ("", "must be"), ("-1", "must be")],
)
def test_seeds_that_are_none(cli: Callable[..., Any], seeds: str, message: str) -> None:
    assert message in cli("train", "dart_gpt2m", f"--seeds={seeds}", code=2).stderr


def test_seed_and_seeds_exclude_each_other(cli: Callable[..., Any]) -> None:
    assert "keep one" in cli("train", "dart_gpt2m", "--seeds", "0,1", "--seed", "1", code=2).stderr


@pytest.fixture(scope="module")
def metric_script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A metric of one's own: the number of texts."""
    path = tmp_path_factory.mktemp("metric") / "count.py"
    path.write_text(
        "import datasets\n"
        "import evaluate\n"
        "class Count(evaluate.Metric):\n"
        "    def _info(self):\n"
        "        text = datasets.Value('string')\n"
        "        features = datasets.Features({'predictions': text, 'references': datasets.Sequence(text)})\n"
        "        return evaluate.MetricInfo(description='', citation='', inputs_description='', features=features)\n"
        "    def _compute(self, predictions, references):\n"
        "        return {'count': len(predictions)}\n"
    )
    return path


@pytest.fixture(scope="module")
def e2e_run(
    gpt2_base: Path,
    e2e_dir: Path,
    metric_script: Path,
    evaluate_cache: Path,  # noqa: ARG001
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A finished run on E2E, scored by BLEU and by a script."""
    from lorafit.run.options import TrainOptions
    from lorafit.run.plan import load_plan
    from lorafit.run.train import train
    from lorafit.training import ProcessGroup

    options = recipe_overrides(
        gpt2_base, e2e_dir, train__epochs=12, eval__metrics=["bleu", str(metric_script)]
    )
    plan = load_plan("e2e_gpt2m", [option for option in options if option != "--set"])
    return train(
        plan, tmp_path_factory.mktemp("e2e") / "run", lambda _: None, TrainOptions(), ProcessGroup()
    ).run


def test_a_script_of_ones_own_scores_a_run(e2e_run: Path) -> None:
    result = json.loads((e2e_run / "scores.json").read_text())
    assert result["scores"]["count"] == 3
    assert result["signatures"]["count"].startswith("evaluate:count|")


def test_a_metric_that_cannot_be_loaded_is_said_before_anything_is_done(
    cli: Callable[..., Any],
    gpt2_base: Path,
    data: Path,
    e2e_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import evaluate.config

    monkeypatch.setattr(evaluate.config, "HF_EVALUATE_OFFLINE", True)
    for name in ("evaluate:bertscore", str(tmp_path / "none.py")):
        more = arguments(gpt2_base, data, tmp_path / "run", eval__metrics=[name])
        assert name in cli("train", "dart_gpt2m", *more, code=3).stderr
        assert not (tmp_path / "run").exists()
        error = cli("eval", e2e_run / "adapter", "--metric", name, code=3)
        assert name in error.stderr
        assert "decoding" not in error.stdout


def test_eval_without_java_says_so_first_and_scores_the_rest(
    cli: Callable[..., Any], e2e_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    out = cli("eval", e2e_run / "adapter", "--output", tmp_path / "a").stdout
    assert out.splitlines()[0].startswith("meteor will not be computed: METEOR 1.5 needs Java: install")
    scores = json.loads((tmp_path / "a" / "scores.json").read_text())
    assert {name for name, value in scores["scores"].items() if value is None} == {"meteor"}
    asked = ["--metric", "meteor", "--metric", "bleu", "--output", tmp_path / "b"]
    cli("eval", e2e_run / "adapter", *asked, code=3)
    assert json.loads((tmp_path / "b" / "scores.json").read_text())["scores"]["bleu"] is not None


class TestPredict:
    CONTEXT = "name : Cotto | area : riverside | food : French"

    def texts(self, cli: Callable[..., Any], run: Path, *options: str) -> list[str]:
        done = cli("predict", run / "adapter", self.CONTEXT, "name : Zizzi", *options, "--json")
        lines = json.loads(done.stdout)
        assert [line["input"] for line in lines] == [self.CONTEXT, "name : Zizzi"]
        return [line["prediction"] for line in lines]

    def test_greedy_is_sampling_when_it_is_cold(self, cli: Callable[..., Any], e2e_run: Path) -> None:
        greedy = self.texts(cli, e2e_run, "--strategy", "greedy")
        assert all(greedy)
        assert greedy == self.texts(cli, e2e_run, "--strategy", "greedy", "--batch-size", "1")
        cold = ["--strategy", "sample", "--temperature", "0.001"]
        assert greedy == self.texts(cli, e2e_run, *cold) == self.texts(cli, e2e_run, *cold, "--seed", "7")

    def test_top_p_of_nearly_nothing_is_greedy(self, cli: Callable[..., Any], e2e_run: Path) -> None:
        narrow = self.texts(cli, e2e_run, "--strategy", "sample", "--top-p", "0.000001")
        assert narrow == self.texts(cli, e2e_run, "--strategy", "greedy")

    def test_samples_depend_on_the_seed_alone(self, cli: Callable[..., Any], e2e_run: Path) -> None:
        def sample(seed: str) -> list[str]:
            return self.texts(cli, e2e_run, "--strategy", "sample", "--temperature", "2", "--seed", seed)

        assert sample("1") == sample("1")
        assert len({tuple(sample(seed)) for seed in "1234"}) > 1

    def test_beam_as_trained_and_fewer_tokens(self, cli: Callable[..., Any], e2e_run: Path) -> None:
        long, short = self.texts(cli, e2e_run), self.texts(cli, e2e_run, "--max-new-tokens", "2")
        assert all(long)
        assert all(len(b.split()) <= 2 for b in short)
        assert long != short

    def test_an_unknown_strategy(self, cli: Callable[..., Any], e2e_run: Path) -> None:
        error = cli("predict", e2e_run / "adapter", "x", "--strategy", "greddy", code=2).stderr
        assert "did you mean 'greedy'?" in error


class TestRows:
    def test_flags_choose_the_search(self, cli: Callable[..., Any], e2e_run: Path, tmp_path: Path) -> None:
        rows = tmp_path / "rows.tsv"
        rows.write_text("prompt\tid\nname : Cotto\t1\nname : Zizzi\t2\n")
        given = ("predict", e2e_run / "adapter", "--input", rows)
        lines = cli(*given, "--greedy").stdout.splitlines()
        greedy = [json.loads(line) for line in lines]
        assert [(row["prompt"], row["id"]) for row in greedy] == [
            ("name : Cotto", "1"),
            ("name : Zizzi", "2"),
        ]
        asked = cli("predict", e2e_run / "adapter", "name : Cotto", "name : Zizzi", "--greedy").stdout
        assert asked.splitlines() == [row["prediction"] for row in greedy]
        beams = cli(*given, "--beams", "3", "--max-new-tokens", "3", "--output", tmp_path / "a.csv")
        assert "wrote" in beams.stdout
        assert (tmp_path / "a.csv").read_text().splitlines()[0] == "prompt,id,prediction"

    @pytest.mark.parametrize(
        ("flags", "said"),
        [
            (("--greedy", "--beams", "2"), "num_beams: greedy decoding takes none; got 2; leave out --beams"),
            (("--beams", "2", "--top-p", "0.5"), "num_beams: sampling takes none; got 2; leave out --beams"),
            (("--seed", "1"), "seed: beam search takes none; got 1; leave out --seed"),
            (("--greedy", "--strategy", "sample"), "greedy: the strategy is 'sample'; leave out --greedy"),
            (("--beams", "9999"), "num_beams: every one of 9,999 beams begins with a token of its own"),
            (("--max-new-tokens", "5000"), "leaves no room for a prompt"),
            (("--input", "none.csv"), "none.csv: cannot be read: No such file or directory"),
            (("--output", "a.jsonl"), "output: rows are written, and texts are given; use --input FILE"),
        ],
        ids=str,
    )
    def test_flags_that_cannot_be_meant(
        self, cli: Callable[..., Any], e2e_run: Path, flags: tuple[str, ...], said: str
    ) -> None:
        texts = () if "--input" in flags else ("x",)
        done = cli("predict", e2e_run / "adapter", *texts, *flags, code=3 if "--input" in flags else 2)
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1

    def test_several_adapters_are_scored_side_by_side(
        self, cli: Callable[..., Any], e2e_run: Path, tmp_path: Path
    ) -> None:
        other = tmp_path / "other" / "adapter"
        shutil.copytree(e2e_run / "adapter", other)
        given = ("eval", e2e_run / "adapter", other, "--metrics", "bleu", "--output", tmp_path / "out")
        table = cli(*given).stdout
        scores = json.loads(cli(*given, "--json").stdout)
        assert len(scores) == 2
        assert all(name in table for name in scores)
        for name, result in scores.items():
            written = json.loads((tmp_path / "out" / name / "scores.json").read_text())
            assert written["scores"] == result["scores"]
        one, another = scores.values()
        assert one["scores"] == another["scores"]
