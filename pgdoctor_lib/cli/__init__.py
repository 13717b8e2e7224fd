"""The command line: one module a command. It parses, calls, prints and gives the exit status; no logic.

Rooms are imported inside the commands, so that `--help` is quick and the daemon holds only what it uses.
"""

from pgdoctor_lib.cli.main import main

__all__ = ["main"]
