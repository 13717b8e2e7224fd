"""PGDoctor on an odd machine. Look-ups of `*.slow` ask a name server that never answers, and the wall clock is off
by as many seconds as the file $ODD_CLOCK says. Both are put under the program before it starts, and gevent with it.
"""

import _socket
import os
import runpy
import sys
import time
from contextlib import suppress
from pathlib import Path

NO_ANSWER_S = 20.0  # two name servers, two attempts of five seconds each: libc's own patience
PROGRAM = Path(__file__).resolve().parents[2] / "pgdoctor.py"
_look_up, _sleep, _time = _socket.getaddrinfo, time.sleep, time.time


def look_up(host: object, *rest: object, **more: object) -> object:
    """As libc does it: the thread is gone until it gives up."""
    name = host.decode() if isinstance(host, bytes) else str(host)
    if name.endswith(".slow"):
        _sleep(NO_ANSWER_S)
        raise _socket.gaierror(_socket.EAI_AGAIN, "Temporary failure in name resolution")
    return _look_up(host, *rest, **more)  # type: ignore[arg-type]


def wall_clock() -> float:
    """What the machine believes the time to be."""
    offset_s = 0.0
    with suppress(OSError, ValueError):
        offset_s = float(Path(os.environ["ODD_CLOCK"]).read_text())
    return _time() + offset_s


_socket.getaddrinfo = look_up  # type: ignore[assignment]
if "ODD_CLOCK" in os.environ:
    time.time = wall_clock
sys.path.insert(0, str(PROGRAM.parent))
sys.argv[0] = str(PROGRAM)
runpy.run_path(str(PROGRAM), run_name="__main__")
