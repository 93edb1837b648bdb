"""Every key of PEFT's config, at any value: the outcome is PEFT's, or the key is refused by name."""

from __future__ import annotations

import dataclasses
import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lorafit.adapters import read_adapter, restore
from lorafit.errors import AdapterError, LorafitError
from lorafit.interop.peft_config import PeftConfig
from lorafit.interop.peft_keys import KEYS
from lorafit.verbs.import_ import ImportOptions, import_adapter
from tests.support.peft_adapters import ALLOWED, CONFIG, edit_config, logits, peft_logits, save_peft

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:peft", "ignore::DeprecationWarning")

FIRST_VERSIONS = {"enable_lora", "merge_weights"}

_TELLING = [
    *(None, True, False, 0, 1, 2, 4, 8, 0.5, 2.5, -1, 1e300, float("nan"), "", [], {}),
    *("LORA", "none", "all", "lora_only", "CAUSAL_LM", "SEQ_CLS", "TOKEN_CLS", "gaussian", "pissa", "olora"),
    *("pissa_niter_4", "eva", "mica", "orthogonal", "corda", "loftq", "lora_ga", "all-linear", "c_attn"),
    *(
        ["c_attn"],
        ["c_proj"],
        ["ln_f"],
        ["lm_head"],
        ["wte"],
        [0],
        [1],
        [0, 1],
        "h",
        r".*\.c_attn",
        r".*h\.1\..*",
    ),
    *("[", "(?i)h", {"c_attn": 4}, {"c_attn": 2}, {r"h\.1\..*": 16}, {"[": 4}, {"rho": 1.5}, {"rho": 0.1}),
]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def adapter(gpt2_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("peft") / "adapter"
    save_peft(gpt2_base, folder, lora_dropout=0.1)
    return folder


def test_every_key_that_peft_has_is_known_here():
    from peft import LoraConfig

    assert {field.name for field in dataclasses.fields(LoraConfig)} | FIRST_VERSIONS == set(KEYS)


def test_what_peft_itself_writes_is_understood(adapter):
    config = PeftConfig.read(adapter / CONFIG)
    assert (config.rank("transformer.h.0.attn.c_attn"), config.dropout) == (4, 0.1)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(key=st.sampled_from(sorted(KEYS)) | st.text(max_size=8), value=st.sampled_from(_TELLING) | _JSON)
def test_any_key_at_any_value_is_pefts_function_or_a_refusal_by_name(
    adapter, gpt2_base, tmp_path, key, value
):
    edited, imported = tmp_path / "edited", tmp_path / "imported"
    for folder in (edited, imported):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(adapter, edited)
    edit_config(edited, **{key: value})
    try:
        import_adapter(edited, imported, "peft", str(gpt2_base), ImportOptions())
    except LorafitError as error:
        refused = str(error)
    else:
        refused = ""
    if refused:
        assert key in refused
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = peft_logits(gpt2_base, edited)
    got = logits(restore(read_adapter(imported)).net)
    assert (got - expected).abs().max() <= ALLOWED * max(1.0, expected.abs().max().item())


@pytest.mark.parametrize("key", ["peft_type", "target_modules"])
def test_a_key_that_must_be_there_is_missed_by_name(adapter, tmp_path, key):
    document = json.loads((adapter / CONFIG).read_text())
    del document[key]
    (tmp_path / CONFIG).write_text(json.dumps(document))
    with pytest.raises(AdapterError, match=f"{key} is missing"):
        PeftConfig.read(tmp_path / CONFIG)


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"use_new_thing": True}, "use_new_thing = True: this key is not known here"),
        ({"enable_lora": [True, False, True]}, "enable_lora"),
        ({"target_modules": "c_attn", "layers_to_transform": 1}, "layers_to_transform"),
        ({"layers_pattern": "h"}, "layers_pattern"),
        ({"task_type": "TOKEN_CLS"}, "task_type = 'TOKEN_CLS'"),
    ],
)
def test_what_would_be_something_else_is_refused_by_name(adapter, tmp_path, values: dict[str, Any], key: str):
    shutil.copy(adapter / CONFIG, tmp_path / CONFIG)
    edit_config(tmp_path, **values)
    with pytest.raises(AdapterError, match=key):
        PeftConfig.read(tmp_path / CONFIG)
