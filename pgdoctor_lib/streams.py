"""Standard input, output and error, which whoever started us may have closed."""

import os
import sys


def open_missing() -> None:
    """Put /dev/null where 0, 1 or 2 is closed: else the next file or socket would get that number, and our output."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 (for good)
