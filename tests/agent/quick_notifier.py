"""PGDoctor whose notices follow each other more quickly, and which tries again sooner."""

import runpy
import sys
from pathlib import Path

PROGRAM = Path(__file__).resolve().parents[2] / "pgdoctor.py"
sys.path.insert(0, str(PROGRAM.parent))
sys.argv[0] = str(PROGRAM)
program = runpy.run_path(str(PROGRAM))  # patches; only then may anything else come in

from pgdoctor_lib.agent import notifier  # noqa: E402

notifier.GATHER_S, notifier.PACE_S, notifier.PAUSES_S = 0.2, 0.01, (0.2, 0.5)
raise SystemExit(program["main"]())
