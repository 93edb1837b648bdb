"""Files of rows: what is in them, and where they are."""

from __future__ import annotations

import gzip
import io
import json

from tests.messages.mistakes import Content, Mistake, Table, edited

REVIEWS = "train reviews.toml --dry-run"
ANSWERS = "train answers.toml --dry-run"
UNSAID = "{{ messages[0].content }}{% if false %}{% generation %}{% endgeneration %}{% endif %}"


def empty_table(_: bytes) -> bytes:
    """A parquet file without rows."""
    import pyarrow as pa
    from pyarrow import parquet

    out = io.BytesIO()
    parquet.write_table(pa.table({"review": [], "stars": []}), out)
    return out.getvalue()


def bytes_in_a_column(_: bytes) -> bytes:
    """A parquet file with what is no text and no number."""
    import pyarrow as pa
    from pyarrow import parquet

    out = io.BytesIO()
    parquet.write_table(pa.table({"review": ["good"], "more": [b"\xff"]}), out)
    return out.getvalue()


def of_csv(content: Content, read: str) -> Mistake:
    """Somebody's reviews."""
    return Mistake(REVIEWS, read, {"rows.csv": content})


def of_file(name: str, content: Content, read: str, *options: str) -> Mistake:
    """Reviews in a file of another name."""
    return Mistake(" ".join([REVIEWS, f"--set data.train={name}", *options]), read, {name: content})


def scored(name: str, content: Content, read: str) -> Mistake:
    """Answers of a system, to be scored."""
    return Mistake(f"score e2e {name} right.txt", read, {name: content, "right.txt": "a\n"})


def predicted(output: str, row: object, read: str) -> Mistake:
    """A row that gets a prediction, and cannot be written into such a file."""
    return Mistake(
        f"predict labels --input new.jsonl --output {output}",
        read,
        {"new.jsonl": json.dumps({"review": "good", "more": row}) + "\n"},
    )


def of_webnlg(category: str, comment: str, read: str) -> Mistake:
    """An entry of WebNLG."""
    triple = {"subject": "a", "property": "b", "object": "c"}
    texts = [{"lex": "a b c", "comment": comment}] if comment else []
    entry = {"category": category, "modifiedtripleset": [triple], "lexicalisations": texts}
    content = json.dumps({"entries": [{"1": entry}]})
    return Mistake(f"{ANSWERS} --set data.format=webnlg", read, {"asked.jsonl": content})


MISTAKES: Table = {
    "data/answers.py": (
        Mistake(
            "score e2e said.jsonl right.jsonl --prediction-key prediction --reference-key right",
            "said.jsonl:2: no 'prediction'; it has text",
            {"said.jsonl": '{"prediction": "a"}\n{"text": "b"}\n', "right.jsonl": '{"right": "a"}\n' * 2},
        ),
        Mistake("score e2e nowhere.jsonl rows.csv", "nowhere.jsonl: no such file"),
        scored(
            "said",
            gzip.compress(b"a\n"),
            "said: is gzipped; unzip it, or name it after what it holds, such as .jsonl.gz",
        ),
        scored(
            "said.txt",
            "<html><body>a</body></html>",
            "said.txt: holds XML or HTML, which is neither a text a line nor an object a line (JSON "
            "lines); a table must be named .csv or .tsv",
        ),
        scored(
            "said.txt",
            "a\tb\nc\td\n",
            "said.txt: holds 2 columns with tabs between, which is neither a text a line nor an "
            "object a line (JSON lines); a table must be named .csv or .tsv",
        ),
    ),
    "data/cells.py": (
        Mistake(
            ANSWERS,
            "asked.jsonl:1: question: expected a text, found True; correct the file, or use --set "
            "data.on_bad_row=skip (leaves such rows out)",
            {"asked.jsonl": '{"question": true, "answer": "yes"}\n'},
        ),
        of_file(
            "r.jsonl",
            '{"review": "a", "stars": [1]}\n{"review": "b", "stars": [2]}\n',
            "[task] label: no training row can be used: expected a name or a number, found [1]",
        ),
        of_csv(
            "review,stars\ngood,1e999\nbad,1e999\n",
            "[task] label: no training row can be used: '1e999' is too great a number",
        ),
        of_file(
            "r.jsonl",
            '{"review": "a", "stars": 1}\n{"review": "b", "stars": 2}\n{"review": "\\ud800", "stars": 2}\n',
            "r.jsonl:3: review: holds half a surrogate pair, which is no character; correct the "
            "file, or use --set data.on_bad_row=skip (leaves such rows out)",
        ),
    ),
    "data/places.py": (
        Mistake(
            f'{REVIEWS} --set \'data.train=["rows.csv","./rows.csv"]\'',
            "[data] train: rows.csv is named twice; use --set data.weights=… (how often the rows of "
            "each file come)",
        ),
        Mistake(f"{REVIEWS} --set data.train=rosw.csv", "rosw.csv: no such file (data.train)"),
        Mistake(
            f"{REVIEWS} --set data.train=folder",
            "folder: is a folder, and data.train names files; use --set data.dir=folder",
        ),
        Mistake(
            f"{REVIEWS} --set 'data.train=my folder'",
            "my folder: is a folder, and data.train names files; use --set 'data.dir=my folder'",
            {"my folder/rows.csv": ""},
        ),
        Mistake("eval labels --data folder", "folder: is a folder, and data.test names files"),
        Mistake(
            f"{REVIEWS} --unset data.train",
            "[data]: no place is given for the train split; use --set data.train=FILE",
        ),
        Mistake(f"{REVIEWS} --unset data.train --set data.dir=nowhere", "nowhere: no such folder (data.dir)"),
        Mistake(
            f"{REVIEWS} --unset data.train --set data.dir=folder",
            "folder: no file train.csv or the like there (data.dir, train split)",
        ),
        Mistake(
            f"{REVIEWS} --unset data.train --set data.dir=mine",
            "mine: train.csv and train.jsonl could both be the train split; use --set data.train=… "
            "(to one of them)",
            {"mine/train.csv": "review,stars\na,1\nb,2\n", "mine/train.jsonl": "{}"},
        ),
        Mistake("eval labels --data nowhere.csv", "nowhere.csv: no such file (data.test)"),
    ),
    "data/readers/__init__.py": (
        of_file(
            "rows.xlsx",
            b"PK",
            "rows.xlsx: unknown kind of file '.xlsx'; it must be one of …, each also gzipped (.gz); "
            "use --set data.format=… (to one of …)",
        ),
        of_file(
            "rows",
            "review,stars",
            "rows: unknown kind of file ''; it must be one of …, each also gzipped (.gz); use --set "
            "data.format=… (to one of …)",
        ),
    ),
    "data/readers/csv.py": (
        of_csv(
            'review,stars\n"very good,5\nbad,1\n',
            "rows.csv:2: not valid CSV: unexpected end of data: the quote that begins a field here "
            "is never closed",
        ),
        of_csv(
            'review,stars\n"very" good,5\nbad,1\n',
            "rows.csv:2: not valid CSV: something stands between the quote that ends a field and the "
            "next comma; a quote in a field is doubled",
        ),
        of_csv(
            "review,stars\nvery\rgood,5\nbad,1\n",
            "rows.csv:2: not valid CSV: the record holds a CR that ends no line; lines end with LF or CRLF",
        ),
    ),
    "data/originals.py": (
        Mistake(
            "eval adapter --split valid",
            "…/lorafit/data/e2e/valid.txt: no such file (valid split); run `lorafit data fetch e2e`",
        ),
        Mistake(
            "data show e2e_gpt2m --set data.dir=folder --set model.base=base",
            "folder: no train.txt there (data.dir, train split)",
        ),
    ),
    "data/glue.py": (
        Mistake(
            "data show sst2_roberta_base --set data.dir=folder --set model.base=encoder",
            "folder/SST-2/train.tsv: no such file (data.dir, train split); data.dir is the folder of "
            "the GLUE download, which holds SST-2/train.tsv",
        ),
    ),
    "data/readers/dart.py": (
        Mistake(
            f"{ANSWERS} --set data.format=dart",
            'asked.jsonl: should be a list; expected a list of {"tripleset": [[subject, relation, '
            'object], ...], "annotations": [{"text": ...}, ...]}',
            {"asked.jsonl": '{"a": 1}'},
        ),
        Mistake(
            f"{ANSWERS} --set data.format=dart",
            "asked.jsonl: not one usable row (0 malformed, 1 left out: no text)",
            {"asked.jsonl": '[{"tripleset": [], "annotations": []}]'},
        ),
    ),
    "data/readers/json.py": (
        of_file(
            "r.json",
            '{"review":\n"good", "stars": 1}',
            "r.json: one JSON object, expected an array of objects or an object a line",
        ),
    ),
    "data/readers/jsonl.py": (
        of_file(
            "r.jsonl",
            '{"review":\n"good", "stars": 1}',
            "r.jsonl: one JSON object, expected an object a line or an array of objects",
        ),
    ),
    "data/readers/objects.py": (
        of_file(
            "r.jsonl",
            '{"review": "good", "stars": 1}\n5\n{"review": "a", "stars": 2}\n',
            "r.jsonl:2: not a JSON object; correct the file, or use --set data.on_bad_row=skip "
            "(leaves such rows out)",
        ),
        of_file(
            "r.jsonl",
            '{"review": "good", "stars": 1}\n{"review: "bad"}\n',
            "r.jsonl:2: not valid JSON: Expecting ':' delimiter; correct the file, or use --set "
            "data.on_bad_row=skip (leaves such rows out)",
        ),
        of_file(
            "r.jsonl",
            '{"review": "good", "stars": 1}\n\n{"review": "a", "stars": 2}\n',
            "r.jsonl:2: a blank line; correct the file, or use --set data.on_bad_row=skip (leaves "
            "such rows out)",
        ),
        of_file(
            "r.jsonl",
            '{"review": "good", "stars": 1}\n' + "[" * 9999 + "\n",
            "r.jsonl:2: nested too deeply; correct the file, or use --set data.on_bad_row=skip "
            "(leaves such rows out)",
        ),
        of_file(
            "r.jsonl",
            '{"review": "good", "stars": 1}\n{"review": "a", "stars": ' + "9" * 9999 + "}\n",
            "r.jsonl:2: a whole number of more digits than can be read; correct the file, or use "
            "--set data.on_bad_row=skip (leaves such rows out)",
        ),
        of_file(
            "r.json",
            '[{"review": "good", "stars": 1}] and more',
            "r.json: not valid JSON: 'and more' stands behind the array",
        ),
        of_file("r.json", "[]", "r.json: is an empty array"),
        of_file(
            "r.json",
            '[{"review": "good", "stars": 1}\n{"review": "bad", "stars": 2}]',
            "r.json:2: not valid JSON: expected ',' and an object, or ']'",
        ),
    ),
    "data/readers/parquet.py": (
        of_file(
            "r.parquet",
            "review,stars\ngood,1\n",
            "r.parquet: not a readable parquet file: Parquet magic bytes not found in footer. Either "
            "the file is corrupted or this is not a parquet file.",
        ),
        of_file(
            "r.parquet",
            b"PK\x03\x04",
            "r.parquet: not a parquet file: it is a zip archive (or a spreadsheet)",
        ),
        of_file(
            "r.parquet",
            b"PAR1 and no more",
            "r.parquet: not a readable parquet file: Parquet magic bytes not found in footer. Either "
            "the file is corrupted or this is not a parquet file.",
        ),
        of_file("r.parquet", empty_table, "r.parquet: is empty"),
    ),
    "data/readers/table.py": (
        of_file(
            "r.tsv",
            "review\t\rstars\ngood\t1\nbad\t2\n",
            "r.tsv:1: the header holds a CR that ends no line; lines end with LF or CRLF",
        ),
        of_csv("\nreview,stars\ngood,1\n", "rows.csv:1: the header is a blank line"),
        of_csv("review,stars\n", "rows.csv: has a header and no rows"),
        of_csv(
            "review,stars\ngood,1\n\nbad,2\n",
            "rows.csv:3: a blank line, expected 2 (review, stars); correct the file, or use --set "
            "data.on_bad_row=skip (leaves such rows out)",
        ),
        of_csv(
            "review,stars\ngood,1\nbad\n",
            "rows.csv:3: 1 field between commas, expected 2 (review, stars); correct the file, or "
            "use --set data.on_bad_row=skip (leaves such rows out)",
        ),
        of_csv(
            "review,stars\ngood,1\nbad, I think,2\n",
            "rows.csv:3: 3 fields between commas, expected 2 (review, stars); correct the file, or "
            "use --set data.on_bad_row=skip (leaves such rows out)",
        ),
        of_csv(
            "review,stars\ngood,1\nreview,stars\nbad,2\n",
            "rows.csv:3: the header once more, as where files were joined; correct the file, or use "
            "--set data.on_bad_row=skip (leaves such rows out)",
        ),
        of_csv(
            "review,stars,stars\ngood,1,2\n",
            "rows.csv:1: the column 'stars' occurs twice; give each column a name of its own",
        ),
        Mistake(
            f'{REVIEWS} --set \'data.columns=["review","review"]\'',
            "[data] columns: the column 'review' occurs twice; give each column a name of its own",
            {"rows.csv": "good,1\nbad,2\n"},
        ),
    ),
    "data/readers/text.py": (
        of_csv(
            "review,stars\rgood,1\rbad,2\r",
            "rows.csv: its lines end with CR alone; save it with LF or CRLF line ends",
        ),
        of_csv("", "rows.csv: is empty"),
        of_csv(b"PK\x03\x04 and more", "rows.csv: not UTF-8 text: it is a zip archive (or a spreadsheet)"),
        of_csv(
            "review,stars\ngood,1\n".encode("utf-16-le"),
            "rows.csv:1: not UTF-8 text: it holds a NUL (byte 1), as files in UTF-16 do",
        ),
        of_csv("review,stars\ncafé,1\nbad,2\n".encode("latin-1"), "rows.csv:2: not UTF-8 text (byte 16)"),
    ),
    "data/readers/webnlg.py": (
        Mistake(
            f"{ANSWERS} --set data.format=webnlg",
            'asked.jsonl: has no list of entries; expected {"entries": [{"1": {"category": ..., '
            '"modifiedtripleset": [{"subject", "property", "object"}, ...], "lexicalisations": '
            '[{"comment", "lex"}, ...]}}, ...]}',
            {"asked.jsonl": "[]"},
        ),
        Mistake(
            f"{ANSWERS} --set data.format=webnlg",
            'asked.jsonl: entry 1, should be an object; expected {"entries": [{"1": {"category": '
            '..., "modifiedtripleset": [{"subject", "property", "object"}, ...], "lexicalisations": '
            '[{"comment", "lex"}, ...]}}, ...]}; correct the file, or use --set data.on_bad_row=skip '
            "(leaves such rows out)",
            {"asked.jsonl": '{"entries": [1]}'},
        ),
        of_webnlg(
            "Sport",
            "good",
            "asked.jsonl: entry 1, category 'Sport' is none of WebNLG 2017; correct the file, or use "
            "--set data.on_bad_row=skip (leaves such rows out)",
        ),
        of_webnlg(
            "Food", "bad", "asked.jsonl: not one usable row (0 malformed, 1 left out: comment is 'bad')"
        ),
        of_webnlg("Food", "", "asked.jsonl: not one usable row (0 malformed, 1 left out: no text)"),
    ),
    "data/sources.py": (
        of_file(
            "r.csv.gz",
            gzip.compress(b"review,stars\ngood,1\n")[:-9],
            "r.csv.gz: not a readable gzip file: Compressed file ended before the end-of-stream "
            "marker was reached",
        ),
    ),
    "data/writers.py": (
        predicted(
            "out.xlsx",
            1,
            "out.xlsx: no rows are written as '.xlsx'; it must be one of …, each also gzipped (.gz); "
            "choose another --output",
        ),
        predicted(
            "out.jsonl",
            1e999,
            "out.jsonl: row 1: more is inf, which JSON cannot hold; choose another --output",
        ),
        predicted(
            "out.tsv",
            "a\tb",
            "out.tsv: row 1: 'a\\tb' has a tab or a line break, which tsv cannot hold; choose another "
            "--output",
        ),
        Mistake(
            "predict labels --input new.parquet --output out.csv",
            "out.csv: row 1: more is b'\\xff', which a table of texts cannot hold; choose another --output",
            {"new.parquet": bytes_in_a_column},
        ),
        predicted(
            "out.csv",
            "\ud800",
            "out.csv: a text holds half a surrogate pair, which is no UTF-8; choose another --output",
        ),
        predicted(
            "out.parquet",
            2**70,
            "out.parquet: a column of these rows has no type that parquet knows: Python int too "
            "large to convert to C long; choose another --output",
        ),
    ),
    "data/given.py": (
        Mistake("init folder", "folder: no file of rows there (…)"),
        Mistake(
            "init mine",
            "mine: holds files of several formats (csv, jsonl), and none is called train; name the "
            "file to learn from",
            {"mine/a.csv": "a,b\n1,2\n", "mine/b.jsonl": "{}\n"},
        ),
        Mistake("init nowhere.csv", "nowhere.csv: no such file or folder"),
        Mistake(
            "init owner/name",
            "owner/name: no such file or folder; as a data set of the hub: not in the Hugging Face "
            "cache, and the hub gave none (HF_HUB_OFFLINE is set); check the name and the network",
        ),
    ),
    "data/encoding/encode.py": (
        Mistake(
            "train answers.toml",
            "base: its tokenizer has no end-of-text token (eos_token)",
            {"base/tokenizer_config.json": edited(eos_token=...)},
        ),
    ),
    "data/readers/e2e.py": (
        Mistake(
            f"{ANSWERS} --set data.format=e2e",
            "asked.jsonl:1: expected 'slot : value | …||sentence' with one '||', found 0 of them; "
            "correct the file, or use --set data.on_bad_row=skip (leaves such rows out)",
            {"asked.jsonl": "name : A|A is a place .\n"},
        ),
        Mistake(
            f"{ANSWERS} --set data.format=e2e",
            "asked.jsonl:1: the part after '||' is empty; correct the file, or use --set "
            "data.on_bad_row=skip (leaves such rows out)",
            {"asked.jsonl": "name : A|| \n"},
        ),
    ),
    "data/readers/records.py": (
        Mistake(
            f"{ANSWERS} --set data.format=dart",
            "asked.jsonl: not one usable row (0 malformed, 1 left out: lang is 'de')",
            {
                "asked.jsonl": json.dumps(
                    [{"tripleset": [["a", "b", "c"]], "annotations": [{"text": "a b", "lang": "de"}]}]
                )
            },
        ),
    ),
    "data/download.py": (
        Mistake(
            "data fetch e2e --dir rows.csv", "rows.csv/e2e/train.txt.part: cannot be written: Not a directory"
        ),
        Mistake(
            "LORAFIT_DATA_URL=file:mirror data fetch e2e --dir out",
            "train.txt: what file:mirror/e2e/train.txt gives is not the original file (git blob SHA-1 "
            "c1b0730e0133447badcfd47fd144e254807b06e1, not 2f92a2790c00a48574dcc89465a326f33d7e7cc6)",
            {"mirror/e2e/train.txt": "x"},
        ),
        Mistake(
            "LORAFIT_DATA_URL=file:nowhere data fetch e2e --dir out",
            "file:nowhere/e2e/train.txt: no answer ([Errno 2] No such file or directory: "
            "'nowhere/e2e/train.txt'); what has come is kept; check the network and try again, or put the "
            "files of examples/NLG/data of microsoft/LoRA into a folder, and set data.dir to it",
            {"out/e2e/train.txt.part": "x"},
        ),
        Mistake(
            "LORAFIT_DATA_URL=file:///nowhere data fetch e2e --dir out",
            "file:///nowhere/e2e/train.txt: no answer ([Errno 2] No such file or directory: "
            "'/nowhere/e2e/train.txt'); check the network and try again, or put the files of "
            "examples/NLG/data of microsoft/LoRA into a folder, and set data.dir to it",
        ),
    ),
    "data/encoding/chat_encode.py": (
        Mistake(
            "train chats.toml --unset task.template",
            "base: its tokenizer has no chat template; use --set task.template=chatml (or another one)",
        ),
        Mistake(
            "train chats.toml --set task.template=unsaid.jinja",
            "chats.jsonl:1: the chat template of base leaves no token to be learned\n"
            "chats.jsonl:2: the chat template of base leaves no token to be learned\n"
            "chats.jsonl:3: the chat template of base leaves no token to be learned\n"
            "correct the rows, or use --set task.template=… (to a template that takes them), or use "
            "--set data.on_bad_row=skip (leaves such rows out)",
            {"unsaid.jinja": UNSAID},
        ),
        Mistake(
            "train chats.toml",
            "base: its tokenizer does not say where tokens lie in a text; take a base with a fast "
            "one (tokenizer.json)",
            {
                "base/tokenizer_config.json": '{"tokenizer_class": "ByT5Tokenizer"}',
                "base/tokenizer.json": None,
            },
        ),
        Mistake(
            "train chats.toml --set task.template='{% for m in messages %}{{ m.content }}{% endfor %}'",
            "base: its chat template ends no turn, and its tokenizer has no end-of-text token (eos_token)",
            {"base/tokenizer_config.json": edited(eos_token=...)},
        ),
    ),
    "data/encoding/chat_template.py": (
        Mistake(
            """train chats.toml --set "task.template='{{ raise_exception(\\"no\\") }}'" """,
            "chats.jsonl:1: the chat template of base does not take it: no\n"
            "chats.jsonl:2: the chat template of base does not take it: no\n"
            "chats.jsonl:3: the chat template of base does not take it: no\n"
            "correct the rows, or use --set task.template=… (to a template that takes them), or use "
            "--set data.on_bad_row=skip (leaves such rows out)",
        ),
        Mistake(
            """train chats.toml --set "task.template='{% if %}'" """,
            "the chat template of base is no jinja template: Expected an expression, got 'end of "
            "statement block' (line 1); use --set task.template=… (to another one)",
        ),
    ),
    "data/hub.py": (
        Mistake(
            f"{REVIEWS} --unset data.train --set data.hub=a/b/c",
            "a/b/c: not in the Hugging Face cache (data.hub); run `lorafit fetch RECIPE` (needs the network)",
        ),
        Mistake(
            "train reviews.toml --unset data.train --set data.hub=owner/name",
            "owner/name: not in the Hugging Face cache, and the hub gave none (HF_HUB_OFFLINE is "
            "set); check the name and the network, or run `lorafit fetch RECIPE` (fills the cache, "
            "where there is a network)",
        ),
        Mistake(
            "train reviews.toml --unset data.train --set data.hub=owner/name --set data.hub_revision=main",
            "owner/name at main: not in the Hugging Face cache, and the hub gave none "
            "(HF_HUB_OFFLINE is set); check the name and the network, or run `lorafit fetch RECIPE` "
            "(fills the cache, where there is a network)",
        ),
        Mistake(
            "fetch mine.toml",
            "a b: no name of a data set on the hub, which is owner/name",
            {"mine.toml": 'extends = "reviews.toml"\nunset=["data.train"]\n[data]\nhub="a b"\n'},
        ),
    ),
}
