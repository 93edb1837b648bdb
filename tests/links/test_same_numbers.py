"""The program computes what it computed when tests/assets/same_numbers was recorded.

The program is driven through its command line and its files alone, so a rebuild cannot rewrite its own proof. On the
CPU, torch and transformers of the record all numbers must be equal bit for bit; elsewhere they must be within a
tolerance, and the test run's summary says so. `python -m tests.links.make_same_numbers GROUP` records anew.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.same_numbers.cases import GROUPS, read_record
from tests.support.same_numbers.facts import TOLERANCE, differences, machine
from tests.support.same_numbers.place import Place

Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Bases, data, and the runs that the cases share."""
    return Place(tmp_path_factory.mktemp("same"))


@pytest.mark.parametrize(("group", "case"), [(group, case) for group in GROUPS for case in GROUPS[group]])
def test_same(group: str, case: str, place: Place, record_property: Record) -> None:
    recorded = read_record(group)
    is_same_machine = recorded["machine"] == machine()
    record_property("same_numbers", "bit for bit" if is_same_machine else f"within {TOLERANCE:g}")
    found = GROUPS[group][case](place).record()
    faults = differences(found, recorded["cases"][case], bit_for_bit=is_same_machine)
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("group", GROUPS)
def test_every_recorded_case_is_made(group: str) -> None:
    assert read_record(group)["cases"].keys() == GROUPS[group].keys()
