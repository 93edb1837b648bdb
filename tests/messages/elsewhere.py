"""Messages that the table cannot bring about, and the test that does, or what it would take.

They need a GPU, several processes, a disk that breaks, or another program at the same time.
"""

from __future__ import annotations

from collections.abc import Mapping

DISK = "a file that is there and cannot be read, or a disk that is full or changes what it holds"
GPU = "a GPU whose memory runs out"
PROCESSES = "several processes, of which one is late or gone"
SIGNAL = "a signal just then"
PACKAGE = "a package or a program that is not installed, or fails"
CALLER = "a caller of functions that the command line never calls so"

ELSEWHERE: Mapping[str, Mapping[str, str]] = {
    "cache.py": {
        "…: cannot be written: …": DISK,
        "…: has no room for … of …: …": (
            "tests/test_cache.py::test_a_full_disk_is_told_with_what_helps_and_leaves_nothing"
        ),
    },
    "data/download.py": {
        "…: cannot be read: …": DISK,
        "…: another process is downloading this file": (
            "tests/data/test_download.py::test_two_at_once_do_not_mix"
        ),
        "…: no answer (HTTP …); what has come is kept": ("a server that becomes busy half-way, and stays so"),
        "…: no answer (HTTP …)": ("a server that is busy, and stays so"),
    },
    "data/hub.py": {
        "…: has the configurations …": (
            "tests/data/test_hub.py::test_a_configuration_is_named_where_there_are_several"
        ),
        "…: cannot be read: …": DISK,
        "…: … rows of the … split, expected …": DISK,
    },
    "decoding/loop.py": {
        "stopped while decoding": (
            "tests/run/test_resume.py::test_a_run_stopped_wherever_it_looks_ends_the_same"
        ),
    },
    "imports.py": {
        "…: the package bitsandbytes is not installed": PACKAGE,
    },
    "interop/gguf_layout.py": {
        "format gguf: the package gguf is not installed": (
            "tests/interop/writers/test_gguf.py::test_a_missing_package_is_one_line"
        ),
    },
    "interop/models/answers_proof.py": {
        "…: the merged model does not compute what … does: logits differ by …, allowed …; nothing was kept": (
            "tests/interop/models/test_proof.py::test_a_merge_that_computes_something_else_is_refused"
        ),
    },
    "interop/models/hf_folder.py": {
        "…: the merged model needs …, but only … are free; nothing was written": (
            "tests/interop/models/test_hf.py::test_a_full_disk_is_noticed_before_anything_is_written"
        ),
    },
    "interop/models/safetensors_stream.py": {
        "…: … bytes came out instead of …": DISK,
        "…: ends too early; the file is damaged": DISK,
    },
    "interop/models/weights_proof.py": {
        "…: the merged folder holds other tensors than were written; nothing was kept": DISK,
        "…: … was not written as it was merged: it is off by up to …; nothing was kept": DISK,
    },
    "metrics/text/meteor.py": {
        "METEOR 1.5 failed: …": PACKAGE,
    },
    "models/families/base.py": {
        "[method] targets: … would adapt … alone, and not …, which are no linear layers": (
            "tests/models/test_reach.py::test_a_word_that_means_the_experts_is_refused_where_it_would_miss_them"
        ),
    },
    "models/families/heads.py": {
        "a text without a single token has nothing that could be classified": (
            "tests/models/test_families.py::test_which_token_a_head_reads"
        ),
    },
    "models/files/folder.py": {
        "…@…: its … needs …, which is not here": PACKAGE,
        "…: its … needs …, which is not here": PACKAGE,
    },
    "models/files/mapped.py": {
        "….…: not among the weights": (
            "tests/run/test_base_notes.py::test_what_is_merged_computes_the_same_and_the_merge_says_it"
        ),
    },
    "models/placement.py": {
        "…: out of GPU memory": (
            "tests/models/test_placement.py::test_memory_that_runs_out_names_the_keys_to_lower"
        ),
        "…: out of memory": GPU,
    },
    "models/files/stored.py": {
        "…: ends within …; the file is damaged": DISK,
    },
    "run/files/lock.py": {
        "…: another process works on …": PROCESSES,
        "…: … works on …": ("tests/verbs/test_runs.py::test_a_run_that_trains_is_running_and_is_not_removed"),
    },
    "run/opened.py": {
        "…: stopped before training (…); nothing is lost": (
            "tests/sweep/test_family.py::test_stopped_anywhere_and_resumed_it_is_the_same"
        ),
    },
    "run/files/prediction_cache.py": {
        "…: cannot be written: …": DISK,
    },
    "objectives/classification.py": {
        "predicting: the answers are NaN; are the model's weights NaN?": (
            "an adapter that answers with NaN, though not to the inputs that it is tried with when it is written"
        ),
    },
    "run/trainer.py": {
        "…: stopped after step … (…)": (
            "tests/run/test_same_run.py::test_an_interrupted_run_goes_on_with_what_it_began_with_alone"
        ),
    },
    "sweep/family.py": {
        "…: some of the runs began in …; finish them one by one with 'lorafit train'": PROCESSES,
    },
    "sweep/one_base.py": {
        "…: … runs stopped, each with a checkpoint (…)": (
            "tests/sweep/test_family.py::test_stopped_anywhere_and_resumed_it_is_the_same"
        ),
    },
    "tasks/load.py": {
        "…: changed while it was read": ("somebody else who writes into the file just then"),
    },
    "track/wandb.py": {
        "nobody is logged in there": ("tests/run/test_trackers.py::test_nobody_is_asked_to_log_in"),
    },
    "training/compiled.py": {
        "[train] compile: torch's compiler fails on this machine: …": (
            "tests/training/test_compiled.py::test_a_compiler_that_is_not_there_is_said"
        ),
    },
    "training/distributed.py": {
        "SLURM_STEP_NODELIST: … is not a list of machines": PROCESSES,
        "process … of … finds no others at …:…: …": PROCESSES,
        "process … of … finds no others: …": PROCESSES,
        "process … of …: another process of this run has ended, see its message (…)": PROCESSES,
    },
    "training/loop.py": {
        "step …: out of memory with micro-batches of …": (
            "tests/training/test_position.py::test_not_more_often_than_allowed_and_not_below_one"
        ),
    },
    "verbs/combine.py": {
        "…: was trained on a base …, and … on one …": (
            "tests/contract/test_quantized.py::test_adapters_of_a_base_in_4_bits_and_in_16_are_not_added"
        ),
    },
    "verbs/evaluate.py": {
        "…: evaluation stopped (…)": SIGNAL,
        "evaluation runs as one process": PROCESSES,
    },
    "verbs/predict.py": {
        "…: … of … rows are done (…)": (
            "tests/verbs/test_predict.py::test_what_was_stopped_goes_on_and_is_the_same"
        ),
    },
    "verbs/runs.py": {
        "…: cannot be deleted: …": DISK,
    },
}
"""Module below lorafit/ -> message -> the test, or what is needed."""
