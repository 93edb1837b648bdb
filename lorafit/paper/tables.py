"""What the LoRA paper published: Tables 2, 3, 13, 14 and 18 of arXiv 2106.09685v2, and the variants that the authors'
README prints. The only place in which the figures are written; recipes and reports take them from here.

The rows are written as the paper prints them. `*` marks figures that the paper takes from prior work, `†` the runs in
the setup of Houlsby et al. (2019).
"""

from __future__ import annotations

from lorafit.paper.published import Column, PaperTable, read_rows

GLUE_TITLES = {  # in the order of Table 2
    "mnli": "MNLI",
    "sst2": "SST-2",
    "mrpc": "MRPC",
    "cola": "CoLA",
    "qnli": "QNLI",
    "qqp": "QQP",
    "rte": "RTE",
    "stsb": "STS-B",
}
# For MNLI the caption says "overall (matched and mismatched)"; by the README's figures it is the matched one.
GLUE_SCORES = {"mnli": "matched.accuracy", "cola": "matthews", "stsb": "pearson"}

_GLUE_COLUMNS = tuple(
    Column(title, task, GLUE_SCORES.get(task, "accuracy"), factor=100, digits=1)
    for task, title in GLUE_TITLES.items()
)

TABLE_2 = PaperTable(
    number="2",
    caption="RoBERTa and DeBERTa on the GLUE development sets",
    rule="median",
    columns=_GLUE_COLUMNS,
    average="Avg.",
    rows=read_rows(
        """
        RoBERTa base  | FT *        | 125.0M  | 87.6    | 94.8    | 90.2     | 63.6     | 92.8    | 91.9    | 78.7     | 91.2    | 86.4
        RoBERTa base  | BitFit *    | 0.1M    | 84.7    | 93.7    | 92.7     | 62.0     | 91.8    | 84.0    | 81.5     | 90.8    | 85.2
        RoBERTa base  | Adapter-D * | 0.3M    | 87.1±.0 | 94.2±.1 | 88.5±1.1 | 60.8±.4  | 93.1±.1 | 90.2±.0 | 71.5±2.7 | 89.7±.3 | 84.4
        RoBERTa base  | Adapter-D * | 0.9M    | 87.3±.1 | 94.7±.3 | 88.4±.1  | 62.6±.9  | 93.0±.2 | 90.6±.0 | 75.9±2.2 | 90.3±.1 | 85.4
        RoBERTa base  | LoRA        | 0.3M    | 87.5±.3 | 95.1±.2 | 89.7±.7  | 63.4±1.2 | 93.3±.3 | 90.8±.1 | 86.6±.7  | 91.5±.2 | 87.2
        RoBERTa large | FT *        | 355.0M  | 90.2    | 96.4    | 90.9     | 68.0     | 94.7    | 92.2    | 86.6     | 92.4    | 88.9
        RoBERTa large | LoRA        | 0.8M    | 90.6±.2 | 96.2±.5 | 90.9±1.2 | 68.2±1.9 | 94.9±.3 | 91.6±.1 | 87.4±2.5 | 92.6±.2 | 89.0
        RoBERTa large | Adapter-P † | 3.0M    | 90.2±.3 | 96.1±.3 | 90.2±.7  | 68.3±1.0 | 94.8±.2 | 91.9±.1 | 83.8±2.9 | 92.1±.7 | 88.4
        RoBERTa large | Adapter-P † | 0.8M    | 90.5±.3 | 96.6±.2 | 89.7±1.2 | 67.8±2.5 | 94.8±.3 | 91.7±.2 | 80.1±2.9 | 91.9±.4 | 87.9
        RoBERTa large | Adapter-H † | 6.0M    | 89.9±.5 | 96.2±.3 | 88.7±2.9 | 66.5±4.4 | 94.7±.2 | 92.1±.1 | 83.4±1.1 | 91.0±1.7 | 87.8
        RoBERTa large | Adapter-H † | 0.8M    | 90.3±.3 | 96.3±.5 | 87.7±1.7 | 66.3±2.0 | 94.7±.2 | 91.5±.1 | 72.9±2.9 | 91.5±.5 | 86.4
        RoBERTa large | LoRA †      | 0.8M    | 90.6±.2 | 96.2±.5 | 90.2±1.0 | 68.2±1.9 | 94.8±.3 | 91.6±.2 | 85.2±1.1 | 92.3±.5 | 88.6
        DeBERTa XXL   | FT *        | 1500.0M | 91.8    | 97.2    | 92.0     | 72.0     | 96.0    | 92.7    | 93.9     | 92.9    | 91.1
        DeBERTa XXL   | LoRA        | 4.7M    | 91.9±.2 | 96.9±.2 | 92.6±.6  | 72.4±1.1 | 96.0±.1 | 92.9±.1 | 94.9±.4  | 93.0±.2 | 91.3
        """,  # noqa: E501
        num_figures=9,
    ),
    variant_columns=(
        Column("MNLI-m", "mnli", "matched.accuracy", factor=100, digits=1),
        Column("MNLI-mm", "mnli", "mismatched.accuracy", factor=100, digits=1),
        Column("STS-B Pearson", "stsb", "pearson", factor=100, digits=1),
        Column("STS-B Spearman", "stsb", "spearman", factor=100, digits=1),
    ),
    variants=read_rows(
        """
        RoBERTa base | LoRA | 0.3M    | 87.5±.3 | 86.9±.3 | 91.5±.2 | 91.3±.2
        DeBERTa XXL  | FT * | 1500.0M | 91.7    | 91.9    | 92.9    | 92.6
        DeBERTa XXL  | LoRA | 4.7M    | 91.9±.1 | 91.9±.2 | 93.0±.2 | 92.9±.3
        """,
        num_figures=4,
    ),
)

TABLE_3 = PaperTable(
    number="3",
    caption="GPT-2 medium and large on the E2E NLG Challenge",
    rule="mean",
    columns=(
        Column("BLEU", "e2e", "bleu", factor=1, digits=1),
        Column("NIST", "e2e", "nist", factor=1, digits=2),
        Column("MET", "e2e", "meteor", factor=100, digits=1),
        Column("ROUGE-L", "e2e", "rouge_l", factor=100, digits=1),
        Column("CIDEr", "e2e", "cider", factor=1, digits=2),
    ),
    rows=read_rows(
        """
        GPT-2 M | FT *        | 354.92M | 68.2    | 8.62     | 46.2    | 71.0    | 2.47
        GPT-2 M | Adapter-L * | 0.37M   | 66.3    | 8.41     | 45.0    | 69.8    | 2.40
        GPT-2 M | Adapter-L * | 11.09M  | 68.9    | 8.71     | 46.1    | 71.3    | 2.47
        GPT-2 M | Adapter-H   | 11.09M  | 67.3±.6 | 8.50±.07 | 46.0±.2 | 70.7±.2 | 2.44±.01
        GPT-2 M | FT-Top2 *   | 25.19M  | 68.1    | 8.59     | 46.0    | 70.8    | 2.41
        GPT-2 M | PreLayer *  | 0.35M   | 69.7    | 8.81     | 46.1    | 71.4    | 2.49
        GPT-2 M | LoRA        | 0.35M   | 70.4±.1 | 8.85±.02 | 46.8±.2 | 71.8±.1 | 2.53±.02
        GPT-2 L | FT *        | 774.03M | 68.5    | 8.78     | 46.0    | 69.9    | 2.45
        GPT-2 L | Adapter-L   | 0.88M   | 69.1±.1 | 8.68±.03 | 46.3±.0 | 71.4±.2 | 2.49±.0
        GPT-2 L | Adapter-L   | 23.00M  | 68.9±.3 | 8.70±.04 | 46.1±.1 | 71.3±.2 | 2.45±.02
        GPT-2 L | PreLayer *  | 0.77M   | 70.3    | 8.85     | 46.2    | 71.7    | 2.47
        GPT-2 L | LoRA        | 0.77M   | 70.4±.1 | 8.89±.02 | 46.8±.2 | 72.0±.2 | 2.47±.02
        """,
        num_figures=5,
    ),
)

TABLE_13 = PaperTable(
    number="13",
    caption="GPT-2 on DART (the variances of MET and TER are below 0.01)",
    rule="mean",
    columns=(
        Column("BLEU", "dart", "bleu", factor=1, digits=1),
        Column("MET", "dart", "meteor", factor=1, digits=2),
        Column("TER", "dart", "ter", factor=1, digits=2, higher_is_better=False),
    ),
    rows=read_rows(
        """
        GPT-2 M | FT        | 354M  | 46.2    | 0.39 | 0.46
        GPT-2 M | Adapter-L | 0.37M | 42.4    | 0.36 | 0.48
        GPT-2 M | Adapter-L | 11M   | 45.2    | 0.38 | 0.46
        GPT-2 M | FT-Top2   | 24M   | 41.0    | 0.34 | 0.56
        GPT-2 M | PreLayer  | 0.35M | 46.4    | 0.38 | 0.46
        GPT-2 M | LoRA      | 0.35M | 47.1±.2 | 0.39 | 0.46
        GPT-2 L | FT        | 774M  | 47.0    | 0.39 | 0.46
        GPT-2 L | Adapter-L | 0.88M | 45.7±.1 | 0.38 | 0.46
        GPT-2 L | Adapter-L | 23M   | 47.1±.1 | 0.39 | 0.45
        GPT-2 L | PreLayer  | 0.77M | 46.7    | 0.38 | 0.45
        GPT-2 L | LoRA      | 0.77M | 47.5±.1 | 0.39 | 0.45
        """,
        num_figures=3,
    ),
    variant_columns=(Column("BLEU", "dart", "bleu", factor=1, digits=1),),
    variants=read_rows(
        """
        GPT-2 M | FT       | 354M  | 46.0
        GPT-2 M | PreLayer | 0.35M | 45.7
        GPT-2 L | FT       | 774M  | 46.5
        GPT-2 L | PreLayer | 0.77M | 46.5
        """,
        num_figures=1,
    ),
)

_PARTS = {"U": "unseen", "S": "seen", "A": "all"}
_WEBNLG_BLEU = tuple(
    Column(title, "webnlg", f"{part}.bleu", factor=1, digits=1, group="BLEU")
    for title, part in _PARTS.items()
)

TABLE_14 = PaperTable(
    number="14",
    caption="GPT-2 on WebNLG 2017 (U: unseen, S: seen, A: all; the variances of MET and TER are below 0.01)",
    rule="mean",
    columns=(
        *_WEBNLG_BLEU,
        *(
            Column(title, "webnlg", f"{part}.meteor", factor=1, digits=2, group="MET")
            for title, part in _PARTS.items()
        ),
        *(
            Column(title, "webnlg", f"{part}.ter", factor=1, digits=2, group="TER", higher_is_better=False)
            for title, part in _PARTS.items()
        ),
    ),
    rows=read_rows(
        """
        GPT-2 M | FT        | 354M  | 27.7    | 64.2    | 46.5    | .30 | .45 | .38 | .76 | .33 | .53
        GPT-2 M | Adapter-L | 0.37M | 45.1    | 54.5    | 50.2    | .36 | .39 | .38 | .46 | .40 | .43
        GPT-2 M | Adapter-L | 11M   | 48.3    | 60.4    | 54.9    | .38 | .43 | .41 | .45 | .35 | .39
        GPT-2 M | FT-Top2   | 24M   | 18.9    | 53.6    | 36.0    | .23 | .38 | .31 | .99 | .49 | .72
        GPT-2 M | PreLayer  | 0.35M | 45.6    | 62.9    | 55.1    | .38 | .44 | .41 | .49 | .35 | .40
        GPT-2 M | LoRA      | 0.35M | 46.7±.4 | 62.1±.2 | 55.3±.2 | .38 | .44 | .41 | .46 | .33 | .39
        GPT-2 L | FT        | 774M  | 43.1    | 65.3    | 55.5    | .38 | .46 | .42 | .53 | .33 | .42
        GPT-2 L | Adapter-L | 0.88M | 49.8±.0 | 61.1±.0 | 56.0±.0 | .38 | .43 | .41 | .44 | .35 | .39
        GPT-2 L | Adapter-L | 23M   | 49.2±.1 | 64.7±.2 | 57.7±.1 | .39 | .46 | .43 | .46 | .33 | .39
        GPT-2 L | PreLayer  | 0.77M | 47.7    | 63.4    | 56.3    | .39 | .45 | .42 | .48 | .34 | .40
        GPT-2 L | LoRA      | 0.77M | 48.4±.3 | 64.0±.3 | 57.0±.1 | .39 | .45 | .42 | .45 | .32 | .38
        """,
        num_figures=9,
    ),
    variant_columns=_WEBNLG_BLEU,
    variants=read_rows(
        """
        GPT-2 M | FT       | 354M  | 30.4 | 63.2 | 47.6
        GPT-2 M | PreLayer | 0.35M | 44.1 | 63.1 | 54.4
        GPT-2 L | FT       | 774M  | 41.7 | 64.6 | 54.2
        GPT-2 L | PreLayer | 0.77M | 47.0 | 64.2 | 56.4
        """,
        num_figures=3,
    ),
)

TABLE_18 = PaperTable(
    number="18",
    caption="LoRA of several ranks with GPT-2 medium on E2E, after 26,000 steps",
    rule="mean",
    columns=(
        Column("val_loss", "e2e", "validation.loss", factor=1, digits=2, higher_is_better=False),
        Column("BLEU", "e2e", "bleu", factor=1, digits=2),
        Column("NIST", "e2e", "nist", factor=1, digits=4),
        Column("METEOR", "e2e", "meteor", factor=1, digits=4),
        Column("ROUGE-L", "e2e", "rouge_l", factor=1, digits=4),
        Column("CIDEr", "e2e", "cider", factor=1, digits=4),
    ),
    rows=read_rows(
        """
        GPT-2 M | LoRA r=1    | 0.10M  | 1.23 | 68.72 | 8.7215 | 0.4565 | 0.7052 | 2.4329
        GPT-2 M | LoRA r=2    | 0.20M  | 1.21 | 69.17 | 8.7413 | 0.4590 | 0.7052 | 2.4639
        GPT-2 M | LoRA r=4    | 0.39M  | 1.18 | 70.38 | 8.8439 | 0.4689 | 0.7186 | 2.5349
        GPT-2 M | LoRA r=8    | 0.79M  | 1.17 | 69.57 | 8.7457 | 0.4636 | 0.7196 | 2.5196
        GPT-2 M | LoRA r=16   | 1.57M  | 1.16 | 69.61 | 8.7483 | 0.4629 | 0.7177 | 2.4985
        GPT-2 M | LoRA r=32   | 3.15M  | 1.16 | 69.33 | 8.7736 | 0.4642 | 0.7105 | 2.5255
        GPT-2 M | LoRA r=64   | 6.29M  | 1.16 | 69.24 | 8.7174 | 0.4651 | 0.7180 | 2.5070
        GPT-2 M | LoRA r=128  | 12.58M | 1.16 | 68.73 | 8.6718 | 0.4628 | 0.7127 | 2.5030
        GPT-2 M | LoRA r=256  | 25.17M | 1.16 | 68.92 | 8.6982 | 0.4629 | 0.7128 | 2.5012
        GPT-2 M | LoRA r=512  | 50.33M | 1.16 | 68.78 | 8.6857 | 0.4637 | 0.7128 | 2.5025
        GPT-2 M | LoRA r=1024 | 100.66M | 1.17 | 69.37 | 8.7495 | 0.4659 | 0.7149 | 2.5090
        """,
        num_figures=6,
    ),
    same_run={"GPT-2 M (LoRA r=4)": ("3", "GPT-2 M (LoRA)")},
)

TABLES: dict[str, PaperTable] = {
    table.number: table for table in (TABLE_2, TABLE_3, TABLE_13, TABLE_14, TABLE_18)
}
