"""Runs a module of tests.faults as the product runs, in a process of its own: a crash is a finding, not the end."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.fix_daemon import ROOT

UPLOAD_S = 1.0
"""The deadline of an exchange in upload_many.py."""
CYCLE_S = 4.0
"""The deadline of a cycle in collect_many.py."""


def outcomes(module: str, *arguments: object, limit_s: float) -> list[dict[str, Any]]:
    """The JSON lines that it printed; AssertionError where it crashed, complained, or did not end in `limit_s`."""
    command = [sys.executable, "-X", "faulthandler", "-m", f"tests.faults.{module}", *map(str, arguments)]
    environ = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environ, timeout=limit_s, capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"status {done.returncode} after {lines[-1:]}\n{done.stderr[-3000:]}"
    assert done.stderr == ""
    return lines


def memory_bytes() -> int:
    """What this process holds now (Linux: elsewhere 0)."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
