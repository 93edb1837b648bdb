"""Treebank tokens: known ones, and Stanford's own where Java is there."""

from __future__ import annotations

import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from lorafit.metrics.text.ptb import ptb_tokens

KNOWN = {
    "Blue Spice isn't cheap; it's £20-25.": "blue spice is n't cheap it 's # 20-25",
    "A 5-star, family-friendly place.": "a 5-star family-friendly place",
    "It (the pub) can't serve: you cannot go!": "it -lrb- the pub -rrb- ca n't serve you can not go",
    "Prices of 3.50 or 1,000 - more than £30": "prices of 3.50 or 1,000 more than # 30",
    'They said "hors d\'oeuvre" at no. 5, not no.': "they said hors d'oeuvre at no. 5 not no",
    "In the city centre., near St. Mary, U.S. food": "in the city centre. near st. mary u.s. food",
    "The customers' rating ... is 1 out of 5": "the customers rating is 1 out of 5",
    "We'll say I'd, they've, I'm, you're": "we 'll say i 'd they 've i 'm you 're",
}
MORE = [
    "The Waterman is a pub on 11/15/1909 with 1/2 of +1 or -5.5 and .439.",
    "J. R. R. Tolkien's House No. 7 at Café Sicilia (İzmir), atatürk_monument",
    "It was in the area.It is a place and/or bar \u2013 near Rd. 4000ft \u2013 17L/35R [sic]",
]


@pytest.mark.parametrize(("text", "tokens"), KNOWN.items())
def test_known_tokens(text: str, tokens: str) -> None:
    assert ptb_tokens(text) == tokens.split()


def test_an_apostrophe_may_be_curved() -> None:
    assert ptb_tokens("It\u2019s") == ptb_tokens("It's") == ["it", "'s"]


@pytest.mark.skipif(not shutil.which("java"), reason="Stanford's tokeniser needs Java")
def test_the_tokens_are_stanfords(tmp_path: Path) -> None:
    spec = find_spec("pycocoevalcap.tokenizer")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    [folder] = spec.submodule_search_locations
    from pycocoevalcap.tokenizer.ptbtokenizer import PUNCTUATIONS

    lines = [*KNOWN, *MORE]
    (tmp_path / "lines").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    tokenizer = "edu.stanford.nlp.process.PTBTokenizer"
    jar = Path(folder) / "stanford-corenlp-3.4.1.jar"
    command = ["java", "-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8", "-cp", str(jar), tokenizer]
    options = ["-preserveLines", "-lowerCase", str(tmp_path / "lines")]
    done = subprocess.run([*command, *options], capture_output=True, encoding="utf-8", check=True)
    for line, tokens in zip(lines, done.stdout.splitlines(), strict=True):
        assert ptb_tokens(line) == [t for t in tokens.split() if t not in PUNCTUATIONS], line
