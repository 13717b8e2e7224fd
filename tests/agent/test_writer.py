"""What people read goes on being written, whatever becomes of one text."""

import subprocess
import sys

import pytest

from tests.fix_daemon import ROOT

NO_MEMORY = """
from gevent import monkey
monkey.patch_all()
import gevent, os, resource
from pgdoctor_lib.agent.writer import Writer
gevent.get_hub().exception_stream = None
os.set_blocking(1, False)  # so that it is written in parts, and what is left copied
writer = Writer()
writer.write("before\\n")
writer.flush(30)
text = "x" * 40_000_000 + "\\n"
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 60_000_000,) * 2)
writer.write(text)
writer.flush(30)
writer.write("after\\n")
writer.flush(30)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the limit does not bind")
def test_a_text_that_there_is_no_memory_for_costs_no_other() -> None:
    command = [sys.executable, "-c", NO_MEMORY]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert ran.stderr == ""
    assert ran.stdout.startswith("before\n")
    assert ran.stdout.endswith("(1 lines are missing here: MemoryError)\nafter\n")
