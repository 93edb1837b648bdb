"""The program computes what it computed when tests/assets/same_numbers was recorded.

The program is driven through its command line and its files alone, so a rebuild cannot rewrite its own proof. On the
CPU, torch and transformers of the record all numbers must be equal bit for bit; elsewhere they must be within a
tolerance, and the test run's summary says so. `python -m tests.links.make_same_numbers GROUP` records anew.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.same_numbers import kept
from tests.support.same_numbers.cases import GROUPS, PROCESSES, read_record, resumed, two_processes
from tests.support.same_numbers.facts import TOLERANCE, Facts, differences, machine
from tests.support.same_numbers.place import Place, run_facts
from tests.support.same_numbers.recipes import IN_PROCESSES, INTERRUPTED

Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Bases, data, and the runs that the cases share."""
    return Place(tmp_path_factory.mktemp("same"))


CASES = [(group, case) for group in GROUPS for case in GROUPS[group] if group != "unfinished"]


@pytest.mark.parametrize(("group", "case"), CASES)
def test_same(group: str, case: str, place: Place, record_property: Record) -> None:
    faults = _faults(group, case, GROUPS[group][case](place), record_property)
    assert not faults, "\n".join(faults)


def _faults(group: str, case: str, found: Facts, record_property: Record) -> list[str]:
    """What is not as recorded; how it was compared is told in the summary of the test run."""
    recorded = read_record(group)
    is_same_machine = recorded["machine"] == machine()
    elsewhere = f"within {TOLERANCE:g}: they were made on {recorded['machine']}, and this is {machine()}"
    record_property("same_numbers", "bit for bit" if is_same_machine else elsewhere)
    return differences(found.record(), recorded["cases"][case], bit_for_bit=is_same_machine)


@pytest.mark.parametrize("group", GROUPS)
def test_every_recorded_case_is_made(group: str) -> None:
    assert read_record(group)["cases"].keys() == GROUPS[group].keys()


@pytest.mark.parametrize("name", INTERRUPTED)
def test_a_run_that_went_on_is_one_that_nobody_stopped(name: str, place: Place) -> None:
    whole = run_facts(place.root / place.trained(name, PROCESSES[name])).record()
    assert not differences(resumed(name, place).record(), whole, bit_for_bit=True)


@pytest.mark.parametrize("name", IN_PROCESSES)
def test_two_processes_are_one(name: str, place: Place) -> None:
    whole = run_facts(place.root / place.trained(name, PROCESSES[name])).record()
    assert not differences(two_processes(name, place).record(), whole, bit_for_bit=False)


@pytest.mark.parametrize("name", kept.UNFINISHED)
def test_an_unfinished_run_of_version_1_is_resumed_or_refused(
    name: str, place: Place, record_property: Record
) -> None:
    before = kept.contents(kept.KEPT / name)
    logged = kept.first_lines(kept.KEPT / name)
    run, outcome = kept.go_on(name, place)
    assert outcome.code in (0, 2), outcome
    if outcome.code == 2:
        [line] = outcome.err.splitlines()
        assert line.startswith("error: ")
        assert kept.contents(place.root / run) == before
        return
    assert "resumed" in outcome.out
    now = (place.root / run / "metrics.jsonl").read_text().splitlines()
    assert now[: len(logged)] == logged, "the run was begun anew"
    faults = _faults("unfinished", name, run_facts(place.root / run), record_property)
    assert not faults, "\n".join(faults)
