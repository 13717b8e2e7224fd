"""PGDoctor with libraries that fail as none should: with all that they were given in the exception's text.

$BUGS: which of connect, send, urlopen do.
"""

import os
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg2
import requests.adapters
import urllib3.connectionpool

PROGRAM = Path(__file__).resolve().parents[2] / "pgdoctor.py"
BUGS = os.environ["BUGS"].split(",")


def broken(name: str) -> Callable[..., Any]:
    """A function that tells everything it was called with."""

    def fail(*args: Any, **keywords: Any) -> Any:
        told = [vars(each) if hasattr(each, "__dict__") else each for each in (*args, keywords)]
        raise RuntimeError(f"{name} failed with {told!r} and {told!s}") from ValueError(keywords, *args)

    return fail


if "connect" in BUGS:
    psycopg2.connect = broken("connect")  # type: ignore[assignment]
if "send" in BUGS:
    requests.adapters.HTTPAdapter.send = broken("send")  # type: ignore[method-assign]
if "urlopen" in BUGS:
    urllib3.connectionpool.HTTPConnectionPool.urlopen = broken("urlopen")  # type: ignore[assignment]
sys.path.insert(0, str(PROGRAM.parent))
sys.argv[0] = str(PROGRAM)
runpy.run_path(str(PROGRAM), run_name="__main__")
