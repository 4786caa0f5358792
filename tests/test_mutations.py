"""A small fixed part of the campaign in benchmarks/mutations.py, and that it sees what it looks for."""

import os
import random
import time
from pathlib import Path

import pytest
from benchmarks import mutations

from infoplane.errors import UserError

INPUTS, SEED = 300, 1


@pytest.mark.timeout(300)
def test_no_changed_input_ends_in_a_traceback_a_hang_an_abort_or_another_number():
    counts, faults = mutations.campaign(INPUTS, SEED)
    assert [(fault.kind, fault.case.target, fault.case.number, fault.detail) for fault in faults] == []
    assert sum(sum(own.values()) for own in counts.values()) > 0.8 * INPUTS
    assert all(own["refused"] for own in counts.values())


def failing(_folder: Path, _path: Path) -> object:
    raise KeyError("a traceback")


def ending(_folder: Path, _path: Path) -> object:
    os.abort()


def endless(_folder: Path, _path: Path) -> object:
    time.sleep(1000)
    return None


def silent(_folder: Path, path: Path) -> object:
    raise UserError("somewhere something is wrong")


def length(_folder: Path, path: Path) -> object:
    return path.stat().st_size


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """One process for all faults: after some of them it is a new one."""
    found = mutations.Reader(tmp_path_factory.mktemp("reader"))
    yield found
    found.end()


@pytest.mark.parametrize(
    ("read", "kind"),
    [
        (failing, "traceback"),
        (silent, "traceback"),  # a refusal that names no file
        (ending, "abort"),
        (length, "read"),  # by the process that follows
        (endless, "hang"),
    ],
)
def test_a_reader_with_a_fault_is_seen(read, kind, reader, tmp_path, monkeypatch):
    path = tmp_path / "input"
    path.write_bytes(b"12")
    if kind == "hang":
        monkeypatch.setattr(mutations, "LONGEST_SECONDS", 1)
    assert reader.read(read, path)[0] == kind


def test_the_same_seed_changes_the_same_bytes_and_structured_values_one_at_a_time():
    content = bytes(range(200))
    first, again, other = (mutations.changed_bytes(content, content, random.Random(seed), 200) for seed in (3, 3, 4))
    assert first == again != other
    facts = {"epoch": 1, "list": [1, {"x": None}]}
    assert mutations.changed_facts(facts, random.Random(0)) != facts
    assert facts == {"epoch": 1, "list": [1, {"x": None}]}
