"""What `--debug` and PGDOCTOR_DEBUG=1 add: a traceback, without secrets, beside an error's one line."""

import traceback
from collections.abc import Mapping

from pgdoctor_lib.secret import redact


def is_on(environ: Mapping[str, str]) -> bool:
    """Whether tracebacks are wanted."""
    return environ.get("PGDOCTOR_DEBUG", "") not in ("", "0")


def trace(error: BaseException) -> str:
    """The traceback of `error`, ending in a line break."""
    return redact("".join(traceback.format_exception(error)))
