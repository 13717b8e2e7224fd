"""PGDoctor on one of several hosts: it reaches the server by a way of its own, the port $HA_PORT, and its wall clock is
$HA_CLOCK seconds off. Its configuration is everybody's.
"""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

PROGRAM = Path(__file__).resolve().parents[2] / "pgdoctor.py"
sys.path.insert(0, str(PROGRAM.parent))
_time, _offset_s = time.time, float(os.environ["HA_CLOCK"])
time.time = lambda: _time() + _offset_s

import pgdoctor  # noqa: E402
from pgdoctor_lib.postgres import connect  # noqa: E402

_open = connect._open
connect._open = lambda dsn, host, wanted: _open(dsn, replace(host, port=os.environ["HA_PORT"]), wanted)
raise SystemExit(pgdoctor.main())
