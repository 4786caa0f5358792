"""Freed memory stays with the process: seen by the pages that the system has to hand out."""

import subprocess
import sys

import pytest

from infoplane.distributed import malloc as memory

FAULTS = """
import resource, sys
from infoplane.distributed.malloc import keep_freed_memory
if len(sys.argv) > 1:
    assert keep_freed_memory()
import torch
def work():
    torch.ones(40 * 2**20, dtype=torch.uint8)
for _ in range(20):
    work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sets the C library of Linux")
def test_memory_given_back_is_used_again():
    def faults(*arguments: str) -> int:
        done = subprocess.run([sys.executable, "-c", FAULTS, *arguments], capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert (
        faults() > 20_000
    )  # ten times 40 MiB in pages of 4 KiB, less what is kept anyway; the first rounds find their places
    assert faults("keep") < 1_000


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    assert not memory.keep_freed_memory()


def test_a_c_library_without_the_setting_is_left_alone(monkeypatch):
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: object())
    assert not memory.keep_freed_memory()
