"""Tasks: their keys, and rows that do not fit them."""

from __future__ import annotations

import json

from tests.messages.mistakes import Content, Mistake, Table

REVIEWS = "train reviews.toml --dry-run"
ANSWERS = "train answers.toml --dry-run"
CHATS = "train chats.toml --dry-run"
COLUMNS = "--set task.text=review --set task.label=stars"
MANY = f"--set task.name=multilabel {COLUMNS}"
NUMBERS = f"--set task.name=regression {COLUMNS}"
USER, ASSISTANT = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}


def said(*messages: object, read: str, **more: object) -> Mistake:
    """A conversation."""
    row = {"messages": messages, **more}
    return Mistake(CHATS, read, {"chats.jsonl": json.dumps(row) + "\n"})


def row(row: object, read: str) -> Mistake:
    """A row of conversations."""
    return Mistake(CHATS, read, {"chats.jsonl": json.dumps(row) + "\n"})


def labelled(content: Content, read: str, *options: str) -> Mistake:
    """Reviews with labels."""
    return Mistake(" ".join([REVIEWS, *options]), read, {"rows.csv": content})


MISTAKES: Table = {
    "tasks/base.py": (
        labelled(
            "review,stars,part\na,1,all\nb,2,b\n",
            "rows.csv:2: part is 'all', which scores call everything; give the part another name; "
            "correct the file, or use --set data.on_bad_row=skip (leaves such rows out)",
            "--set task.part=part",
        ),
    ),
    "tasks/chat.py": (
        Mistake(
            f"{CHATS} --set task.template=chatlm",
            "override task.template: no chat template 'chatlm'; did you mean 'chatml'? there are …, "
            "or a jinja file",
        ),
        said(
            USER,
            {**ASSISTANT, "weight": 0},
            read="chats.jsonl:1: every turn of the assistant has weight 0: nothing could be learned; "
            "correct the file, or use --set data.on_bad_row=skip (leaves such rows out)",
        ),
        said(
            USER,
            read="chats.jsonl:1: the assistant says nothing: nothing could be learned; correct the file, "
            "or use --set data.on_bad_row=skip (leaves such rows out)",
        ),
        row(
            {"message": [USER]},
            "chats.jsonl:1: no column 'messages' or 'conversations'; did you mean 'message'? it has "
            "message; correct the file, or use --set data.on_bad_row=skip (leaves such rows out)",
        ),
        Mistake(
            f"{CHATS} --set task.template=folder/file",
            "[task] template: folder/file holds no jinja template; use --set task.template=… (to a "
            "jinja file)",
        ),
        Mistake(
            f"{CHATS} --set task.template=latin",
            "latin: cannot be read as a chat template: 'utf-8' codec can't decode byte 0xe9 in "
            "position 3: invalid continuation byte",
            {"latin": b"caf\xe9 {{ a }}"},
        ),
        Mistake(
            "predict talks --input new.jsonl --output out.jsonl",
            "new.jsonl:1: the conversation has no turn but the assistant's; correct the file",
            {"new.jsonl": json.dumps({"messages": [ASSISTANT]}) + "\n"},
        ),
    ),
    "tasks/classes.py": (
        Mistake(
            f"{REVIEWS} --set task.label_values=indices",
            "reviews.toml [task]: 'label_values' is \"indices\", which needs 'labels': indices of what?",
        ),
        Mistake(
            f"{REVIEWS} --set 'task.labels=[\"a\"]'",
            "reviews.toml [task]: 'labels' must be two classes or more, each with a name of its own; "
            "got ['a']",
        ),
        Mistake(
            f'{REVIEWS} --set \'task.labels=["1", "5"]\' --set task.label_values=indices',
            "reviews.toml [task]: 'labels' holds '1', which could be a name or an index; set "
            "'label_values' to \"names\"",
        ),
        Mistake(
            f"{REVIEWS} --set 'task.labels=[\"1\", \"5\"]' --set 'task.class_weights=[1.0]'",
            "reviews.toml [task]: 'class_weights' must have a number for each of the 2 classes (1, 5); got 1",
        ),
        Mistake(
            f"{REVIEWS} --set 'task.class_weights=[1.0]'",
            "[task] class_weights: must have a number for each of the 2 classes (1, 5); got 1",
        ),
        Mistake(
            f'{REVIEWS} --set \'task.labels=["1", "4"]\'',
            "rows.csv:2: label '5' is none of 1, 4\n"
            "rows.csv:4: label '5' is none of 1, 4\n"
            "correct the file, or use --set data.on_bad_row=skip (leaves such rows out)",
        ),
        Mistake(
            f'{REVIEWS} --set \'task.labels=["bad", "good"]\' --set task.label_values=indices',
            "rows.csv:2: label '5' is none of bad (0), good (1)\n"
            "rows.csv:4: label '5' is none of bad (0), good (1)\n"
            "correct the file, or use --set data.on_bad_row=skip (leaves such rows out)",
        ),
        labelled("review,stars\na,\nb,\n", "[task] label: no training row can be used: stars: has no class"),
        Mistake(
            f"{REVIEWS} {MANY} --set data.train=r.jsonl",
            "[task] label: no training row has a label in the column 'stars'",
            {"r.jsonl": '{"review": "a", "stars": []}\n'},
        ),
        Mistake(
            "eval unnamed --data rows.csv",
            "[task] labels: they come from the training rows, which are not here",
        ),
        labelled(
            "review,stars\na,1\nb,1\n",
            "[task] label: every training row has the label '1' in the column 'stars'; there must be "
            "two classes or more",
        ),
        labelled(
            "review,stars\n" + "".join(f"a,r{i}\n" for i in range(200)),
            "[task] label: each of the 200 training rows has a label of its own in the column "
            "'stars'; use --set task.label=… (to the column of the classes)",
        ),
        Mistake(
            f'{REVIEWS} --set \'task.labels=["1", "5", "6"]\' --set task.class_weights=balanced',
            "[task] class_weights: no training row has the label '6', so nothing balances it; use "
            "--set task.class_weights=… (a number for each class)",
        ),
        labelled(
            "review,stars\na,yes\nb,no\nc,-\n",
            "[task] label: '-' in the column 'stars' may be a class of its own, or not; use --set "
            "task.labels=… (to the classes; a row with another label is then a bad row)",
        ),
    ),
    "tasks/classification.py": (
        labelled("review,stars\na,\nb,\n", "[task] label: no training row can be used: stars: has no class"),
    ),
    "tasks/generation.py": (
        Mistake(
            f"{ANSWERS} --set task.completion=question",
            "answers.toml [task]: 'prompt' and 'completion' are the same text 'question'",
        ),
        Mistake(
            f"{ANSWERS} --set task.scorer=e3e",
            "override task.scorer: no scorer 'e3e'; there are plain, e2e-metrics, webnlg-challenge, "
            "generation-eval",
        ),
        Mistake(
            ANSWERS,
            "asked.jsonl:1: the prompt is empty; correct the file, or use --set data.on_bad_row=skip "
            "(leaves such rows out)",
            {"asked.jsonl": '{"question": " ", "answer": "a"}\n'},
        ),
        Mistake(
            "predict adapter --input new.jsonl --output out.jsonl",
            "new.jsonl:1: the prompt is empty; correct the file",
            {"new.jsonl": '{"prompt": " "}\n'},
        ),
    ),
    "tasks/guess.py": (
        Mistake(
            "init numbers.csv",
            "nothing to learn is seen in the columns a, b: neither texts nor conversations; write "
            "the [task] section by hand, from one of the recipes that begin with own_",
            {"numbers.csv": "a,b\n1,2\n3,4\n"},
        ),
    ),
    "tasks/labels.py": (
        Mistake(
            f'{REVIEWS} --set \'task.text=["a", "b", "c"]\'',
            "override task.text: must be a column, or an array of two; got ['a', 'b', 'c']",
        ),
        Mistake(
            f"{REVIEWS} --set task.label=review",
            "reviews.toml [task]: 'label' and 'text' are the same column 'review'",
        ),
        Mistake(
            ">>> lorafit.load('pairs').predict(['one text'])",
            "inputs[0]: the task reads first and second, and this is one text",
        ),
    ),
    "tasks/load.py": (
        Mistake(
            f"{REVIEWS} --set data.valid=0.0001",
            "[data] valid: no training row falls into the share of 0.0001; use --set data.valid=… (a "
            "greater share, or a file)",
        ),
        Mistake(
            f"{REVIEWS} --set data.valid=0.9999",
            "[data] valid: no training row is left beside the share; use --set data.valid=… (a "
            "smaller share, or a file)",
        ),
        labelled(
            "review,stars\na\nb\n",
            "[data]: no row of the train split can be used",
            "--set data.on_bad_row=skip",
        ),
        labelled(
            "review,stars,split\na,1,train\nb,5,test\n",
            "rows.csv:3: split is 'test', and this is the train split; correct the file, or use "
            "--set data.on_bad_row=skip (leaves such rows out)",
        ),
        Mistake(
            "eval labels --data new.csv",
            "new.csv:2: split is 'train', and this is the test split; correct the file",
            {"new.csv": "review,stars,split\na,1,train\n"},
        ),
        labelled(
            "review,stars\na,2\nb,3\n",
            "rows.csv: not one usable row (2 malformed)",
            '--set data.on_bad_row=skip --set \'task.labels=["1", "5"]\'',
        ),
        Mistake(
            f"{ANSWERS} --set data.format=dart",
            "asked.jsonl: not one usable row (0 malformed, 1 left out: no text)",
            {"asked.jsonl": '[{"tripleset": [], "annotations": []}]'},
        ),
    ),
    "tasks/messages.py": (
        row(
            {"messages": "hello"},
            "chats.jsonl:1: messages: not JSON: 'hello'; correct the file, or use --set "
            "data.on_bad_row=skip (leaves such rows out)",
        ),
        row(
            {"messages": []},
            "chats.jsonl:1: messages: expected an array of messages, found []; correct the file, or "
            "use --set data.on_bad_row=skip (leaves such rows out)",
        ),
        said(
            "hello",
            read="chats.jsonl:1: messages: message 1: expected an object, found 'hello'; correct the "
            "file, or use --set data.on_bad_row=skip (leaves such rows out)",
        ),
        said(
            USER,
            ASSISTANT,
            read="chats.jsonl:1: tools: expected an array of tools, found {'a': 1}; correct the file, or "
            "use --set data.on_bad_row=skip (leaves such rows out)",
            tools={"a": 1},
        ),
        said(
            USER,
            ASSISTANT,
            read="chats.jsonl:1: tools: tool 1: expected a function with a name, found {'a': 1}; correct "
            "the file, or use --set data.on_bad_row=skip (leaves such rows out)",
            tools=[{"a": 1}],
        ),
        said(
            {"content": "hi"},
            read="chats.jsonl:1: messages: message 1: has no role; there are …; correct the file, or use "
            "--set data.on_bad_row=skip (leaves such rows out)",
        ),
        said(
            {"role": "uesr", "content": "hi"},
            read="chats.jsonl:1: messages: message 1: unknown role 'uesr'; did you mean 'user'? correct "
            "the file, or use --set data.on_bad_row=skip (leaves such rows out)",
        ),
        said(
            {"role": "user"},
            read="chats.jsonl:1: messages: message 1: has no content; correct the file, or use --set "
            "data.on_bad_row=skip (leaves such rows out)",
        ),
        said(
            {**USER, "tool_calls": [{"name": "a"}]},
            read="chats.jsonl:1: messages: message 1: user has tool_calls, which are the assistant's; "
            "correct the file, or use --set data.on_bad_row=skip (leaves such rows out)",
        ),
        said(
            {"role": "user", "content": " "},
            read="chats.jsonl:1: messages: message 1: the user's content is empty; correct the file, or "
            "use --set data.on_bad_row=skip (leaves such rows out)",
        ),
        said(
            USER,
            {**ASSISTANT, "weight": 2},
            read="chats.jsonl:1: messages: message 2: weight must be 0 or 1, found 2; correct the file, "
            "or use --set data.on_bad_row=skip (leaves such rows out)",
        ),
        said(
            USER,
            {"role": "tool", "content": "5"},
            read="chats.jsonl:1: messages: message 2: a tool's answer that follows no call; correct the "
            "file, or use --set data.on_bad_row=skip (leaves such rows out)",
        ),
        said(
            USER,
            {"role": "system", "content": "be good"},
            read="chats.jsonl:1: messages: message 2: system must stand in front of all turns; correct "
            "the file, or use --set data.on_bad_row=skip (leaves such rows out)",
        ),
        said(
            {"from": "humn", "value": "hi"},
            read="chats.jsonl:1: messages: message 1: unknown speaker 'humn'; did you mean 'human'? "
            "correct the file, or use --set data.on_bad_row=skip (leaves such rows out)",
        ),
        said(
            {"role": "user", "content": [{"type": "image"}]},
            read="chats.jsonl:1: messages: message 1: content has a part that is no text: 'image'; "
            "correct the file, or use --set data.on_bad_row=skip (leaves such rows out)",
        ),
        said(
            USER,
            {"role": "assistant", "tool_calls": {"name": "a"}},
            read="chats.jsonl:1: messages: message 2: tool_calls: expected an array, found {'name': 'a'}; "
            "correct the file, or use --set data.on_bad_row=skip (leaves such rows out)",
        ),
        said(
            USER,
            {"role": "assistant", "tool_calls": [{"id": "a"}]},
            read="chats.jsonl:1: messages: message 2: tool_calls: expected a function with a name, found "
            "{'id': 'a'}; correct the file, or use --set data.on_bad_row=skip (leaves such rows out)",
        ),
        said(
            USER,
            {"role": "assistant", "tool_calls": [{"name": "a", "arguments": [1]}]},
            read="chats.jsonl:1: messages: message 2: arguments of a: expected an object, found [1]; "
            "correct the file, or use --set data.on_bad_row=skip (leaves such rows out)",
        ),
        said(
            USER,
            {"role": "assistant", "tool_calls": [{"name": "a", "arguments": "b"}]},
            read="chats.jsonl:1: messages: message 2: arguments: not JSON: 'b'; correct the file, or use "
            "--set data.on_bad_row=skip (leaves such rows out)",
        ),
        said(
            USER,
            {**ASSISTANT, "more": 1e999},
            read="chats.jsonl:1: messages: message 2: holds what is no JSON; correct the file, or use "
            "--set data.on_bad_row=skip (leaves such rows out)",
        ),
    ),
    "tasks/multilabel.py": (
        labelled(
            "review,stars\na,1\n",
            "override task.label_separator: must not be empty; without it a field is a list",
            "--set task.name=multilabel --set task.text=review --set task.label=stars --set task.label_separator=",
        ),
        labelled(
            "review,stars\na,1\nb,2\n",
            "[task] label: no training row can be used: stars: expected a list of classes such as "
            '["a", "b"], found \'1\'; the classes in a text are told apart where '
            "'task.label_separator' is set",
            MANY,
        ),
        labelled(
            "review,stars\na,[1\nb,[2\n",
            "rows.csv:2: expected a list of classes in JSON, found '[1'\n"
            "rows.csv:3: expected a list of classes in JSON, found '[2'\n"
            "correct the file, or use --set data.on_bad_row=skip (leaves such rows out)",
            f'{MANY} --set \'task.labels=["1", "2"]\'',
        ),
    ),
    "tasks/registry.py": (
        Mistake("eval newer-task", "newer-task/adapter.json: task.kind: 'summary' is none of …"),
    ),
    "tasks/regression.py": (
        labelled(
            "review,stars\na,1\n",
            "override task.range: must be two numbers, the lower one first; got [5.0, 1.0]",
            "--set task.name=regression --set 'task.range=[5, 1]'",
        ),
        labelled(
            "review,stars\na,9\nb,1\n",
            "rows.csv:2: stars '9' is not a number from 1 to 5; correct the file, or use --set "
            "data.on_bad_row=skip (leaves such rows out)",
            f"{NUMBERS} --set 'task.range=[1, 5]'",
        ),
        labelled(
            "review,stars\na,good\nb,1\n",
            "rows.csv:2: stars 'good' is not a number; correct the file, or use --set "
            "data.on_bad_row=skip (leaves such rows out)",
            NUMBERS,
        ),
    ),
    "tasks/template.py": (
        Mistake(
            f"{ANSWERS} --set 'task.prompt=Q: {{question'",
            "override task.prompt: 'Q: {question' is no template: expected '}' before end of string; "
            "write {{ and }} for braces",
        ),
        Mistake(
            f"{ANSWERS} --set 'task.prompt=Q: {{question:5}}'",
            "override task.prompt: 'Q: {question:5}' is no template: only the name of a column may "
            "stand between braces",
        ),
        Mistake(
            f"{ANSWERS} --set 'task.prompt=Q: {{{{question}}}}'",
            "override task.prompt: 'Q: {{question}}' names no column: every row would have the same text",
        ),
        Mistake(
            ">>> lorafit.load('labels').predict([{'reviw': 'a'}])",
            "inputs[0]: no column 'review'; did you mean 'reviw'? it has reviw",
        ),
    ),
    "tasks/text.py": (
        Mistake(
            "train texts.toml --dry-run --set 'eval.metrics=[\"bleu\"]' ",
            "metric 'bleu' compares texts, and the task text writes none: it says how likely the "
            "given ones are",
        ),
    ),
}
