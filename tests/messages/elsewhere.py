"""Messages that the table cannot bring about, and the test that does, or what it would take.

They need the hub, a GPU, several processes, a disk that breaks, or another program at the same time.
"""

from __future__ import annotations

from collections.abc import Mapping

DISK = "a file that is there and cannot be read, or a disk that is full"
HUB = "the hub, and a data set of that kind there"
OF_HUB = "tests/data/test_hub.py"
OF_DOWNLOAD = "tests/data/test_download.py"

ELSEWHERE: Mapping[str, Mapping[str, str]] = {
    "data/download.py": {
        "…: cannot be read: …": DISK,
        "…: what … gives is not the original file (git blob SHA-1 …, not …)": (
            f"{OF_DOWNLOAD}::test_another_content_is_an_error_and_leaves_nothing"
        ),
        "…: another process is downloading this file": f"{OF_DOWNLOAD}::test_two_at_once_do_not_mix",
        "…: no answer (HTTP …); what has come is kept": "a server that becomes busy half-way, and stays so",
        "…: no answer (HTTP …)": "a server that is busy, and stays so",
        "…: no answer (…); what has come is kept": (
            f"{OF_DOWNLOAD}::test_the_next_call_goes_on_from_what_an_earlier_one_left"
        ),
    },
    "data/given.py": {"…: has no split 'train'; there are …": HUB},
    "data/hub.py": {
        "…: has the configurations …": f"{OF_HUB}::test_a_configuration_is_named_where_there_are_several",
        "… at …: not in the Hugging Face cache, and the hub gave none (…)": HUB,
        "… at …: not in the Hugging Face cache, and the hub gave none (access must be asked for on its page)": HUB,
        "… at …: not in the Hugging Face cache, and the hub gave none (there is none of that name, or it is private)": (
            f"{OF_HUB}::test_what_the_hub_does_not_have"
        ),
        "…: not in the Hugging Face cache, and the hub gave none (…)": HUB,
        "…: not in the Hugging Face cache, and the hub gave none (access must be asked for on its page)": HUB,
        "…: not in the Hugging Face cache, and the hub gave none (there is none of that name, or it is private)": (
            f"{OF_HUB}::test_what_the_hub_does_not_have"
        ),
        "…: cannot be read: …": DISK,
        "…: … rows of the … split, expected …": DISK,
        "…: … could both be the … split": HUB,
        "…: has no split 'train'": f"{OF_HUB}::test_the_usual_name_is_needed_or_another_one_given",
    },
    "data/sources.py": {
        "…: cannot be read: …": "tests/data/test_sources.py::test_the_identity_of_a_file_is_its_sha256"
    },
    "recipe/layers.py": {"…: cannot be read: …": DISK},
    "tasks/load.py": {"…: changed while it was read": "somebody else who writes into the file just then"},
}
"""Module below lorafit/ -> message -> the test, or what is needed."""
