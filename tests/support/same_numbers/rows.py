"""Small data files in the layouts of the paper's data: E2E, DART, WebNLG, and four tasks of GLUE."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

NAMES = ("Alimentum", "Cotto", "Zizzi", "Aromi")
AREAS = ("city centre", "riverside", "the old harbour")
FOODS = ("French", "Italian", "rather plain English")
PLACES = ("Aarhus", "Austin", "Kerala", "Athens", "Akita", "Romania")
CATEGORIES = ("Airport", "Artist")  # seen, unseen
PEOPLE = ("Anna", "Bert", "Carl", "Dora", "Emil", "Frida")
WORDS = (("dreadful", "awful", "dull"), ("lovely", "superb", "bright"))


def write_all(root: Path) -> None:
    """Every data set, each in a folder of its own."""
    write_e2e(root / "e2e")
    write_triples(root / "triples")
    write_glue(root / "glue")
    write_score_files(root / "score")


def e2e_contexts() -> list[tuple[str, str]]:
    """(context, sentence), of different lengths."""
    pairs = []
    for i in range(13):
        name, area, food = NAMES[i % 4], AREAS[i % 3], FOODS[(i // 2) % 3]
        context = f"name : {name} | area : {area} | food : {food}"
        pairs.append((context, f"{name} serves {food} food in the {area} ."))
    return pairs


def write_e2e(folder: Path) -> None:
    """Two references a context: 14 rows to train on, 6 to validate, 3 contexts to test."""
    folder.mkdir(parents=True)
    pairs = e2e_contexts()
    for name, part in (("train", pairs[:7]), ("valid", pairs[7:10]), ("test", pairs[10:])):
        lines = [f"{c}||{text}" for c, s in part for text in (f"{s} ", f"There is a place , {s} ")]
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")


def write_triples(folder: Path) -> None:
    """DART and WebNLG in the tree of the paper's repository."""
    for name, make, files in (
        ("webnlg_challenge_2017", _webnlg, ("train.json", "dev.json", "test.json")),
        ("dart", _dart, ("dart-v1.1.1-full-train.json", "dart-v1.1.1-full-dev.json", "test.json")),
    ):
        (folder / name).mkdir(parents=True)
        for file, places in zip(files, (PLACES, PLACES[:2], PLACES[3:]), strict=True):
            (folder / name / file).write_text(json.dumps(make(places)))


def _webnlg(places: Sequence[str]) -> Any:
    entries = []
    for number, place in enumerate(places, start=1):
        triple = {"subject": place, "property": "isPartOf", "object": "Earth"}
        texts = [
            {"comment": "good", "lex": f"{place} is a part of Earth ."},
            {"comment": "toFix", "lex": "?"},
            {"comment": "good", "lex": f"Part of Earth is {place} ."},
        ]
        entry = {"category": CATEGORIES[number % 2], "modifiedtripleset": [triple], "lexicalisations": texts}
        entries.append({str(number): entry})
    return {"entries": entries}


def _dart(places: Sequence[str]) -> Any:
    return [
        {
            "tripleset": [[place, "PART_OF", "Earth"], [place, "KIND", "place"]],
            "annotations": [{"source": "", "text": f"{place} is a place on Earth ."}],
        }
        for place in places
    ]


def sentences(count: int) -> list[tuple[str, int]]:
    """(sentence, 0 bad or 1 good): one word tells, and lengths differ."""
    rows = []
    for i in range(count):
        tail = " and so on" * (i % 4)
        rows.append((f"{PEOPLE[i % 6]} saw a {WORDS[i % 2][i // 2 % 3]} film{tail}", i % 2))
    return rows


def pairs(count: int) -> list[tuple[str, str, int]]:
    """(sentence, sentence, how much alike: 0, 1 or 2)."""
    rows = sentences(count + 4)
    return [
        (rows[i][0], rows[i + i % 4][0], (rows[i][1] == rows[i + i % 4][1]) + (i % 4 == 0))
        for i in range(count)
    ]


def write_glue(root: Path) -> None:
    """CoLA, RTE, STS-B and MNLI in the layout of the GLUE download."""
    cola = sentences(30)
    for name, part in (("train", cola[:14]), ("dev", cola[14:24])):
        _write_tsv(root / "CoLA" / f"{name}.tsv", [], [("x", label, "", text) for text, label in part])
    _write_tsv(
        root / "CoLA" / "test.tsv",
        ["index", "sentence"],
        [(i, text) for i, (text, _) in enumerate(cola[24:])],
    )
    both = pairs(34)
    for name, rows in (("train", both[:14]), ("dev", both[14:24])):
        named = [(i, a, b, "entailment" if like else "not_entailment") for i, (a, b, like) in enumerate(rows)]
        _write_tsv(root / "RTE" / f"{name}.tsv", ["index", "sentence1", "sentence2", "label"], named)
        scored = [(i, a, b, 2.5 * like - 0.25 * (i % 2) * like) for i, (a, b, like) in enumerate(rows)]
        _write_tsv(root / "STS-B" / f"{name}.tsv", ["index", "sentence1", "sentence2", "score"], scored)
    labels = ("contradiction", "neutral", "entailment")
    for name, rows in (("train", both[:14]), ("dev_matched", both[14:20]), ("dev_mismatched", both[20:26])):
        named = [(i, a, b, labels[like]) for i, (a, b, like) in enumerate(rows)]
        _write_tsv(root / "MNLI" / f"{name}.tsv", ["index", "sentence1", "sentence2", "gold_label"], named)


def _write_tsv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(map(str, row)) for row in ([header] if header else []) + list(rows)]
    path.write_text("\n".join(lines) + "\n")


PREDICTIONS = (
    "Blue Spice is a coffee shop .",
    "Zizzi serves French food by the river , and it's cheap .",
    "Giraffe is rated 5 .",
    "A pub near Café Sicilia with 3.5 stars",
)
REFERENCES = (
    ("A coffee shop called Blue Spice .", "Blue Spice is a coffee shop in the city ."),
    ("By the river , Zizzi serves French food .",),
    ("Giraffe has a rating of 5 .", "Giraffe is rated 5 .", "Giraffe : 5 ."),
    ("Near Café Sicilia there is a pub , rated 3.5 .", "A pub with 3.5 stars is near Café Sicilia ."),
)


def write_score_files(folder: Path) -> None:
    """Predictions, groups of references, and which are seen."""
    folder.mkdir(parents=True)
    (folder / "predictions").write_text("".join(f"{text}\n" for text in PREDICTIONS))
    (folder / "references").write_text("\n\n".join("\n".join(group) for group in REFERENCES) + "\n")
    (folder / "splits").write_text("seen\nunseen\nseen\nunseen\n")
