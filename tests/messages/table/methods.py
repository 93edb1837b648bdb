"""Methods, targets and the shape of the base; the library of LoRA layers."""

from __future__ import annotations

from collections.abc import Mapping

from tests.messages.mistakes import Content, Mistake, Table, edited, saved

DRY = "train reviews.toml --dry-run"
GPT2 = "train answers.toml --dry-run"
NET = "net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))\n"


def method(name: str, keys: str, read: str, typed: str = DRY, files: Mapping[str, Content] = {}) -> Mistake:
    """Another method, and its keys."""
    dropped = " ".join(f"--unset method.{key}" for key in ("r", "alpha", "targets"))
    options = " ".join(f"--set method.{key}" for key in keys.split())
    return Mistake(f"{typed} {dropped} --set method.name={name} {options}".strip(), read, files)


MISTAKES: Table = {
    "methods/adapter.py": (
        method(
            "adapter",
            "drop_layers=1",
            "reviews.toml [method]: 'drop_layers' and 'drop_at_random' need variant = \"adapterdrop\"",
        ),
        method(
            "adapter",
            "variant=adapterdrop drop_layers=9",
            "[method] drop_layers: 9 leaves no adapter in 2 layers; lower it",
        ),
        method(
            "adapter",
            "variant=lin",
            "[method] variant: 'lin' adapters have no place in 'roberta'; houlsby is for encoders "
            "and GPT-2, pfeiffer and adapterdrop for encoders, lin for GPT-2",
        ),
    ),
    "methods/base.py": (
        Mistake(
            "merge prefixes out",
            "method 'prefix' adds modules to the network, so it cannot be merged into the base; use "
            "the adapter folder itself",
        ),
    ),
    "methods/bitfit.py": (
        method(
            "bitfit",
            "",
            "[method] name: bitfit trains biases, and this llama has none; choose another method",
            GPT2 + " --set model.base=llama",
        ),
    ),
    "methods/by_module.py": (
        Mistake(
            f"{DRY} --set 'method.r={{nothing = 2, default = 4}}'",
            "[method] r: 'nothing' matches no module that gets an adapter",
        ),
        Mistake(
            f'{DRY} --set \'method.r={{"*query" = 2, "*.0.*" = 4, default = 8}}\'',
            "[method] r: '*query' and '*.0.*' both match "
            "roberta.encoder.layer.0.attention.self.query, with 2 and 4",
        ),
        Mistake(
            f"{DRY} --set 'method.r={{\"*query\" = 2}}'",
            "[method] r: no pattern matches roberta.encoder.layer.0.attention.self.value; say "
            "'default' for the others",
        ),
    ),
    "methods/lora.py": (
        Mistake(
            f"{DRY} --set method.init=pissa --set method.init_from=labels",
            "reviews.toml [method]: 'init_from' and 'init' = 'pissa' exclude each other; keep one",
        ),
        Mistake(
            f"{DRY} --set method.init=pissa --set method.dora=true",
            "reviews.toml [method]: 'dora' is about the norms of the weights that 'init' = 'pissa' "
            "takes apart; keep one",
        ),
        Mistake(
            f"{DRY} --set method.dora=true --set 'method.targets=[\"word_embeddings\"]'",
            "[method] dora: is for linear layers, and roberta.embeddings.word_embeddings is none; leave "
            "it out of targets",
        ),
        Mistake(
            f"{DRY} --set 'method.also_train=[\"nothing\"]'",
            "[method] also_train: 'nothing' matches no parameter of this roberta",
        ),
        Mistake(
            f"{DRY} --set 'method.also_train=[\"query\"]'",
            "[method] also_train: 'roberta.encoder.layer.0.attention.self.query.weight' would train "
            "whole beside its own adapter; choose one of the two",
        ),
        Mistake(
            f"{DRY} --set method.r=4096",
            "[method] r: 4,096 is more than an update of "
            "roberta.encoder.layer.0.attention.self.query can have; its full rank is 32; use --set "
            "method.r=… (lower)",
        ),
    ),
    "methods/prefix.py": (
        method(
            "prefix",
            "",
            "[method] name: a prefix has no way into the attention of this 'deberta-v2'; choose "
            "another method",
            DRY + " --set model.base=deberta-v2",
        ),
        method(
            "prefix",
            "",
            "[method] name: some layers of this 'mistral' attend to a window of tokens, which leaves "
            "a prefix behind; choose another method",
            GPT2 + " --set model.base=mistral",
            {"mistral/config.json": edited(sliding_window=4)},
        ),
        method(
            "prefix",
            "variant=embedding",
            "[method] variant: \"embedding\" needs a causal decoder, and 'roberta' reads both ways; "
            'use "layer"',
        ),
    ),
    "methods/top2.py": (method("top2", "num_layers=9", "[method] num_layers: 9, but the base has 2 blocks"),),
    "lora/inits.py": (
        Mistake(
            f">>> {NET}lora.attach(net, [lora.Site('0')], r=2, init='lorlib')",
            "init 'lorlib' is not known (there are loralib, paper-gpt2, gaussian); did you mean 'loralib'?",
        ),
    ),
    "lora/state.py": (
        Mistake(
            f">>> {NET}lora.mark_only_lora_as_trainable(net, 'some')",
            "bias 'some': must be one of none, all, lora_only; did you mean 'none'?",
        ),
    ),
    "lora/surgery.py": (
        Mistake(
            f">>> {NET}lora.find(net, ['query'])",
            "target 'query' matches no module that can be adapted; there are *",
        ),
        Mistake(
            f">>> {NET}lora.attach(net, [lora.Site('9')], r=2)",
            "no module '9' that can be adapted; there are *",
        ),
        Mistake(
            f">>> {NET}net[2] = net[0]\nlora.attach(net, [lora.Site('0', r=2), lora.Site('2', r=4)])",
            "0 and 2 are one module, but ask for different adapters",
        ),
        Mistake(
            f">>> {NET}lora.attach(net, [lora.Site('0', kind=lora.Embedding)], r=2)",
            "0: lora.Embedding cannot stand in for Linear",
        ),
        Mistake(
            ">>> net = nn.Sequential(nn.Embedding(4, 4))\nlora.attach(net, [lora.Site('0', (True, False))], r=2)",
            "0: the output of Embedding has no slices to choose from",
        ),
        Mistake(
            f">>> {NET}lora.attach(net, [lora.Site('0', (False, False))], r=2)",
            "0: no slice is enabled, so there is nothing to adapt",
        ),
        Mistake(f">>> {NET}lora.attach(net, [lora.Site('0')], r=0)", "0: r must be at least 1, not 0"),
        Mistake(
            f">>> {NET}net[2].weight = net[0].weight\nlora.attach(net, [lora.Site('0')], r=2)\n"
            "lora.detach(net, merge=True)",
            "0 and 2 share one weight: writing ΔW into the one would change the other; untie them "
            "first, or merge without writing (lora.merge)",
        ),
    ),
    "models/added_rows.py": (
        Mistake(
            "train chats.toml --dry-run --set task.template=chatml --set model.base=smaller-base",
            "[task] template: it needs <|im_start|> and <|im_end|>, which the tokenizer of "
            "smaller-base does not have, and its embedding has 20 rows for 350 tokens already; use "
            "--set task.template=plain (which needs no such token)",
        ),
    ),
    "models/model.py": (
        Mistake(
            "predict talks hi --base base --force",
            "base: neither its tokenizer nor its configs say which token ends a text",
            {
                "base/tokenizer_config.json": edited(eos_token=..., bos_token=..., pad_token=...),
                "base/config.json": edited(eos_token_id=None, bos_token_id=None),
                "base/generation_config.json": None,
            },
        ),
    ),
    "models/vocabulary.py": (
        Mistake(
            "train texts.toml --set model.base=smaller-base --set data.train=few.csv",
            "smaller-base: the token 'Zizzi' (…) has no row in the embedding, which has 20, and it stands "
            "in every text; take a base whose embedding has a row for every token of its tokenizer",
            {
                "few.csv": "review\n!!\n$$\n",
                "smaller-base/tokenizer_config.json": edited(eos_token="Zizzi"),
            },
        ),
    ),
    "models/families/base.py": (
        method(
            "prefix",
            "length=128",
            "[method] length: 128 leaves no room for a text in 128 positions; use --set "
            "method.length=… (lower)",
            GPT2,
        ),
        Mistake(
            f"{DRY} --set 'method.exclude=[\"nothing\"]'",
            "[method] exclude: target 'nothing' matches no module that can be adapted; there are "
            "roberta.embeddings.word_embeddings, roberta.embeddings.token_type_embeddings, "
            "roberta.embeddings.position_embeddings, roberta.encoder.layer.*.attention.self.query, "
            "roberta.encoder.layer.*.attention.self.key, "
            "roberta.encoder.layer.*.attention.self.value, "
            "roberta.encoder.layer.*.attention.output.dense, "
            "roberta.encoder.layer.*.intermediate.dense, roberta.encoder.layer.*.output.dense, "
            "classifier.dense, classifier.out_proj; logical targets are …",
        ),
        Mistake(
            f"{DRY} --set 'method.exclude=[\"output\"]'",
            "[method] exclude: 'output' matches nothing that targets mean",
        ),
        Mistake(
            f'{DRY} --set \'method.exclude=["query", "value"]\'',
            "[method] exclude: 'value' leaves nothing of what targets mean",
        ),
        Mistake(
            f"{GPT2} --set 'method.targets=[\"c_attn\"]' --set 'method.exclude=[\"query\"]'",
            "[method] exclude: 'query' is a part of transformer.h.0.attn.c_attn, which targets mean "
            "as a whole",
        ),
        Mistake(
            f"{DRY} --set 'method.targets=[\"gate\"]'",
            "[method] targets: target 'gate' matches no module that can be adapted; there are "
            "roberta.embeddings.word_embeddings, roberta.embeddings.token_type_embeddings, "
            "roberta.embeddings.position_embeddings, roberta.encoder.layer.*.attention.self.query, "
            "roberta.encoder.layer.*.attention.self.key, "
            "roberta.encoder.layer.*.attention.self.value, "
            "roberta.encoder.layer.*.attention.output.dense, "
            "roberta.encoder.layer.*.intermediate.dense, roberta.encoder.layer.*.output.dense, "
            "classifier.dense, classifier.out_proj; logical targets are …",
        ),
        Mistake(
            f"{DRY} --set 'method.targets=[\"q_proj\"]'",
            "[method] targets: target 'q_proj' matches no module that can be adapted; did you mean "
            "'out_proj'? there are roberta.embeddings.word_embeddings, "
            "roberta.embeddings.token_type_embeddings, roberta.embeddings.position_embeddings, "
            "roberta.encoder.layer.*.attention.self.query, "
            "roberta.encoder.layer.*.attention.self.key, "
            "roberta.encoder.layer.*.attention.self.value, "
            "roberta.encoder.layer.*.attention.output.dense, "
            "roberta.encoder.layer.*.intermediate.dense, roberta.encoder.layer.*.output.dense, "
            "classifier.dense, classifier.out_proj; logical targets are …",
        ),
        Mistake(
            f"{DRY} --set 'method.targets=[\"all-linear\"]' --set model.base=ibert",
            "[method] targets: ibert has no linear layers; attention.self.query.weight, "
            "attention.self.key.weight, attention.self.value.weight, attention.output.dense.weight, "
            "intermediate.dense.weight, output.dense.weight (16,384 parameters, … % of the base) are no "
            "linear layers; it has none of the usual ones",
        ),
    ),
    "models/families/reach.py": (
        Mistake(
            f"{GPT2} --set 'method.targets=[\"*encoder_attn*\"]' --set model.base=bart",
            "[method] targets: '*encoder_attn*' means model.decoder.layers.*.encoder_attn.k_proj, "
            "model.decoder.layers.*.encoder_attn.v_proj, model.decoder.layers.*.encoder_attn.q_proj "
            "and 1 more, to which no gradient comes back: nothing would be learned there; use --set "
            'method.targets=… (name others, or "all-linear", which leaves them out)',
        ),
        Mistake(
            f"{GPT2} --set 'method.targets=[\"dt_proj\"]' --set model.base=mamba",
            "[method] targets: 'dt_proj' means backbone.layers.*.mixer.dt_proj, to which no gradient "
            "comes back: nothing would be learned there; use --set method.targets=… (name others, or "
            '"all-linear", which leaves them out)',
        ),
    ),
    "models/files/folder.py": (
        Mistake(
            f"{DRY} --set model.base=folder",
            "folder: no config.json there; a base is a Hugging Face model folder or a hub id",
        ),
        Mistake(
            f"{DRY} --set model.base=./nowhere",
            "./nowhere: no such folder; a base is a Hugging Face model folder or a hub id",
        ),
        Mistake(
            DRY,
            "encoder: its base model contains custom code, which lorafit does not run; take a base "
            "of one of transformers' own architectures",
            {"encoder/config.json": edited(auto_map={"AutoConfig": "a.B"}, model_type="mine")},
        ),
        Mistake(
            DRY,
            "encoder: its base model cannot be read: It looks like the config file at "
            "'encoder/config.json' is not a valid JSON file.",
            {"encoder/config.json": "{"},
        ),
        Mistake(
            f"{DRY} --set model.base=owner/nothing",
            "owner/nothing: base model not in the Hugging Face cache; run `lorafit fetch RECIPE` (needs the network), "
            "or use --set model.base=FOLDER (a folder on this machine)",
        ),
        Mistake(
            f"{DRY} --set model.base=owner/nothing --set model.revision=v2",
            "owner/nothing@v2: base model not in the Hugging Face cache; run `lorafit fetch RECIPE` (needs the "
            "network), or use --set model.base=FOLDER (a folder on this machine)",
        ),
        Mistake(
            "train reviews.toml",
            "encoder: its tokenizer cannot be read: Expecting property name enclosed in double "
            "quotes: line 1 column 2 (char 1)",
            {"encoder/tokenizer.json": "{"},
        ),
    ),
    "models/identity.py": (
        Mistake(
            "verify labels --base broken",
            "broken/config.json: not readable as JSON: Expecting property name enclosed in double "
            "quotes: line 1 column 2 (char 1)",
            {"broken/config.json": "{"},
        ),
    ),
    "models/load.py": (
        Mistake(
            "train reviews.toml --set model.base=base",
            "base: its tokenizer has neither pad_token nor eos_token",
            {
                "base/tokenizer_config.json": edited(eos_token=..., pad_token=...),
                "base/config.json": edited(eos_token_id=..., pad_token_id=None),
            },
        ),
        Mistake(
            "train reviews.toml --set model.base=smaller-base --set data.train=few.csv",
            "smaller-base: neither pad_token nor eos_token of its tokenizer has a row in the embedding",
            {
                "few.csv": "review,stars\n!,5\n$,1\n",
                "smaller-base/config.json": edited(pad_token_id=...),
                "smaller-base/tokenizer_config.json": edited(eos_token="Zizzi", pad_token=..., bos_token=...),
            },
        ),
        Mistake(
            f"{GPT2} --set 'method.targets=[\"in_proj\"]' --set model.base=mamba --set model.dropout=0.1",
            "[model] dropout: mamba has no dropout in its base; leave it out",
        ),
        Mistake(
            DRY,
            "encoder: its config.json says pad_token_id 9999, and its embedding has 23 rows, counted "
            "from 0; correct the file",
            {"encoder/config.json": edited(pad_token_id=9999)},
        ),
        Mistake(
            f"{GPT2} --set model.head_dropout=0.1",
            "[model] head_dropout: gpt2 has no classification head with dropout",
        ),
        Mistake(
            "train answers.toml",
            "base: its tokenizer has no vocabulary; put tokenizer.json or vocab.json and merges.txt there",
            {"base/tokenizer.json": None, "base/tokenizer_config.json": None},
        ),
        Mistake(
            "train answers.toml",
            "base: config.json makes the output embedding a weight of its own (tie_word_embeddings "
            "is false), and the files have no 'lm_head.weight': transformers would draw it at "
            "random; put it there, or let tie_word_embeddings be true where it is the input embedding",
            {"base/config.json": edited(tie_word_embeddings=False)},
        ),
        Mistake(
            "train answers.toml",
            "base: 1 tensors of the base are missing or of another shape, such as "
            "'transformer.wpe.weight', [128, 32] instead of [64, 32]; these are not the weights of "
            "this gpt2 config",
            {"base/config.json": edited(n_positions=64)},
        ),
        Mistake(
            "train answers.toml",
            "base: 12 tensors of the base are missing or of another shape, such as "
            "'transformer.h.2.attn.c_attn.bias'; these are not the weights of this gpt2 config",
            {"base/config.json": edited(n_layer=3)},
        ),
    ),
    "models/files/stored.py": (
        Mistake(
            "fetch answers.toml --check --set model.base=folder",
            "folder: no config.json there; a base is a Hugging Face model folder or a hub id\n"
            "folder: no weights there (model.safetensors or pytorch_model.bin)",
        ),
        Mistake(
            "merge adapter out --base base --force",
            "base/pytorch_model.bin: is not a state dict",
            {"base/model.safetensors": None, "base/pytorch_model.bin": lambda _: saved([1])},
        ),
        Mistake(
            "verify adapter --base shape",
            "shape/model.safetensors: not a whole safetensors file: it ends too early",
            {"shape/model.safetensors": b"short"},
        ),
        Mistake(
            "train answers.toml",
            "base: no weights there (model.safetensors or pytorch_model.bin)",
            {"base/model.safetensors": None},
        ),
    ),
    "objectives/__init__.py": (
        Mistake(
            f"{GPT2} --set decode.max_new_tokens=128",
            "[decode] max_new_tokens: 128 leaves no room for a prompt in the 128 positions of base; "
            "use --set decode.max_new_tokens=… (lower)",
        ),
        Mistake(
            f"{GPT2} --set decode.num_beams=900",
            "[decode] num_beams: every one of 900 beams begins with a token of its own, and the base "
            "has 350; use --set decode.num_beams=… (lower)",
        ),
    ),
    "objectives/classification.py": (
        Mistake(
            f"{DRY} --set data.max_length=2",
            "[data] max_length: no room for a text beside 2 special tokens within 2 tokens; use "
            "--set data.max_length=… (higher)",
        ),
    ),
    "objectives/text.py": (
        Mistake(
            "train texts.toml --dry-run --set data.max_length=1",
            "[data] max_length: no room for a text behind 1 token within 1 token; use --set "
            "data.max_length=… (higher)",
        ),
    ),
    "objectives/encoded.py": (
        Mistake(
            f"{GPT2} --set data.max_length=2",
            "[data] max_length: nothing is left to learn of any training row within 2 tokens; the "
            "longest has 17; use --set data.max_length=… (higher)",
        ),
        Mistake(
            "train answers.toml --set data.max_length=9",
            "[data] max_length: 1 of 2 training rows has no target within 9 tokens; 2 are cut; the longest "
            "has 17; use --set data.max_length=… (higher), or use --set data.on_long_row=cut (trains on what "
            "is left)",
        ),
    ),
    "objectives/restored.py": (
        Mistake(
            "predict adapter labels --input rows.csv --output out.csv",
            "labels: was trained on the base …/encoder, and adapter on …; adapters "
            "that are used together have one base and one task; choose another ADAPTER... [TEXT]...",
        ),
        Mistake(
            "predict adapter adapter --input rows.csv --output out.csv",
            "adapter: is given twice; choose another ADAPTER... [TEXT]...",
        ),
    ),
}
