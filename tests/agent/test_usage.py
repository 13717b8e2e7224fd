"""The agent's own figures are those of this process."""

import os
import resource
import sys
import time
from pathlib import Path

import pytest

from pgdoctor_lib.agent import usage as module
from pgdoctor_lib.agent.usage import lately, usage
from tests.waiting import wait_for

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
MIB = 1024**2


@linux
def test_memory_that_is_taken_shows_and_its_maximum_stays() -> None:
    before = usage()
    taken = bytearray(os.urandom(64 * MIB))
    during = usage()
    assert during["rss_bytes"] - before["rss_bytes"] > 60 * MIB
    assert during["max_rss_bytes"] >= during["rss_bytes"] - 2 * MIB  # the kernel counts both in portions
    del taken
    wait_for(lambda: during["rss_bytes"] - usage()["rss_bytes"] > 60 * MIB, "the memory was not given back")
    assert usage()["max_rss_bytes"] >= during["max_rss_bytes"]


@linux
def test_the_memory_is_what_the_kernel_says() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    assert usage()["rss_bytes"] == pytest.approx(pages * resource.getpagesize(), abs=4 * MIB)


def test_processor_time_is_what_was_spent() -> None:
    before, spent = usage()["cpu_s"], os.times()
    while sum(os.times()[:2]) - sum(spent[:2]) < 0.1:
        pass
    assert usage()["cpu_s"] - before > 0.08  # each is told in portions


def test_open_descriptors_are_counted() -> None:
    before = usage()["open_files"]
    descriptors = [os.open(os.devnull, os.O_RDONLY) for _ in range(50)]
    assert usage()["open_files"] - before == 50
    assert module._listed() == usage()["open_files"]  # what older kernels are asked
    for each in descriptors:
        os.close(each)
    assert usage()["open_files"] == before


def test_uptime_grows() -> None:
    before = usage()["uptime_s"]
    assert 0 <= before < time.monotonic()
    wait_for(lambda: usage()["uptime_s"] > before, "no time passed")


def test_what_was_told_within_the_same_half_second_is_told_again_and_then_anew() -> None:
    assert module._in(1) is module._in(1)
    assert module._in(1) is not module._in(2)
    before = lately()
    wait_for(lambda: lately()["uptime_s"] > before["uptime_s"], "the same figures for ever")
