"""Loads the SQL files: a plain SELECT for the newest server, its metadata, and what differs on older ones.

The first lines, up to one that is none, hold metadata, `-- key: value` (see `KEYS`, `MORE_KEYS`). A line that ends in
a mark, `-- [pg >= 17]`, is kept only where the condition holds; a line that begins with one, `-- [pg < 17]`,
is a comment to psql, and taken in where it holds. `:"name"` and `:'name'` stand for an identifier and a
literal, quoted, as in psql. Marks and names are found by line and by pattern, not by parsing: no literal
in a file spans lines, nor holds what looks like a mark or a variable.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import groupby, takewhile
from operator import itemgetter
from pathlib import Path

from pgdoctor_lib.quoting import quote_identifier, quote_literal

KEYS = ("source", "scope", "rows", "needs")
MORE_KEYS = ("when", "role", "cadence", "counters", "about", "variables")
_META = re.compile(r"--\s*([a-z]+):\s+(.+)")
_CONDITION = r"--\s*\[(\w+ (?:>=|<) [0-9.]+)\]"
_KEPT = re.compile(rf"(.*?\S)\s*{_CONDITION}\s*")
_TAKEN = re.compile(rf"{_CONDITION}(\s*\S.*)")
_MARK = re.compile(r"--\s*\[")
_VARIABLE = re.compile(r""":(["'])(\w+)\1""")


@dataclass(frozen=True)
class Query:
    """One SQL file. `meta`: its metadata; `pieces`: condition or "", the lines that it governs.

    `when`: conditions that must hold, with commas in between; `role`: "primary" or "standby" where it makes sense on
    that kind of server alone; `cadence`: how often it is asked, in each cycle where it is missing.
    """

    name: str
    meta: Mapping[str, str]
    pieces: tuple[tuple[str, str], ...]

    def fits(self, holds: Callable[[str], bool], *, in_recovery: bool) -> bool:
        """Whether it makes sense on a server where `holds("pg >= 17")` tells what is true."""
        conditions = self.meta["when"].split(",") if "when" in self.meta else ()
        role = self.meta.get("role")
        return all(map(holds, conditions)) and role in (None, "standby" if in_recovery else "primary")

    def sql(self, holds: Callable[[str], bool], **variables: str) -> str:
        """The statement for a server where `holds("pg >= 17")` tells what is true, comments left out."""
        text = "\n".join(lines for condition, lines in self.pieces if not condition or holds(condition))
        return _VARIABLE.sub(lambda match: _quoted(match[1], variables[match[2]]), text)


def load(path: Path) -> Query:
    """The query in the file `path`. ValueError says which line is wrong."""
    text = path.read_text(encoding="utf-8").splitlines()
    meta = {match[1]: match[2] for match in map(_META.fullmatch, takewhile(_META.fullmatch, text)) if match}
    if not set(KEYS) <= set(meta) <= {*KEYS, *MORE_KEYS}:
        raise ValueError(f"{path.name}: metadata is {', '.join(meta) or 'missing'}, and should be {', '.join(KEYS)}")
    lines = filter(None, (_line(line, f"{path.name}:{number}") for number, line in enumerate(text, 1)))
    runs = groupby(lines, key=itemgetter(0))
    pieces = tuple((condition, "\n".join(line for _, line in run)) for condition, run in runs)
    return Query(path.name.removesuffix(".sql"), meta, pieces)


def _line(text: str, where: str) -> tuple[str, str] | None:
    """A condition and the line that it governs, or None for a line that is a comment and nothing else."""
    if match := _TAKEN.fullmatch(text):
        return match[1], match[2]
    if match := _KEPT.fullmatch(text):
        return match[2], match[1]
    if _MARK.search(text):
        raise ValueError(f"{where}: not a mark such as -- [pg >= 17]")
    return None if not text.strip() or text.startswith("--") else ("", text)


def _quoted(quote: str, value: str) -> str:
    return quote_identifier(value) if quote == '"' else quote_literal(value)
