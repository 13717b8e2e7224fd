"""PGDoctor whose looks for databases follow each other more quickly: $EVERY_S instead of a minute."""

import os
import runpy
import sys
from pathlib import Path

PROGRAM = Path(__file__).resolve().parents[2] / "pgdoctor.py"
sys.path.insert(0, str(PROGRAM.parent))
sys.argv[0] = str(PROGRAM)
program = runpy.run_path(str(PROGRAM))  # patches; only then may anything else come in

from pgdoctor_lib.agent import discovery  # noqa: E402

discovery.EVERY_S = discovery.AGAIN_S = float(os.environ["EVERY_S"])
raise SystemExit(program["main"]())
