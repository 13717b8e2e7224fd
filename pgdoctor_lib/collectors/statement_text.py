"""A statement's text, taken apart as far as it must be before a server is asked to plan it, and put together again.

Pure. What the server gets is what was understood here, and no other text: names, parameters, punctuation, each of them
between spaces. What could be read in two ways (constants, quotes, characters beyond ASCII) is refused.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

MOST_CHARS = 10_000
_NAME_BYTES = 63
_TOKEN = re.compile(
    r"""(?P<space>[ \t\n\r\f\v]+|--[^\n\r]*|/\*(?:[^*/]|\*(?!/)|/(?!\*))*\*/)
      |(?P<quoted>(?<!&)"(?:[^"\x00]|"")+")
      |(?P<name>[A-Za-z_][A-Za-z0-9_$]*)
      |(?P<param>\$[0-9]+)(?![A-Za-z0-9_])
      |(?P<number>[0-9]{1,5})(?![A-Za-z0-9_.$])
      |(?P<mark>(?:(?!--|/\*)[-+*/<>=~!@#%^&|`?])+|::|[()\[\],.:])""",
    re.VERBOSE,
)
_KINDS = ("select", "insert", "update", "delete", "merge", "with")
_QUERIES = (*_KINDS, "values")
_END = re.compile("where|group|having|window|order|limit|offset|fetch|for|union|intersect|except|returning|set|values")
_SIZED = re.compile(
    "varchar|char|character|varying|bpchar|bit|numeric|decimal|timestamp|timestamptz|time|timetz|interval"
)


class Refused(Exception):
    """Why a statement is not planned, on one line."""


@dataclass(frozen=True)
class Token:
    """`text`: as the server reads it: an unquoted name in lower case, a quoted one without its quotes."""

    kind: str
    text: str

    @property
    def word(self) -> str:
        """An unquoted name, which may be a keyword; else nothing."""
        return self.text if self.kind == "name" else ""

    @property
    def mark(self) -> str:
        """Punctuation or an operator; else nothing."""
        return self.text if self.kind == "mark" else ""

    @property
    def is_name(self) -> bool:
        """A name, quoted or not."""
        return self.kind in ("name", "quoted")

    @property
    def sql(self) -> str:
        """For the server."""
        return '"' + self.text.replace('"', '""') + '"' if self.kind == "quoted" else self.text


_NOTHING = Token("", "")


@dataclass
class Statement:
    """`privileges`: what is needed on the table whose name, qualified or not, begins there in `tokens`."""

    tokens: list[Token]
    privileges: dict[int, str] = field(default_factory=dict)

    @property
    def tables(self) -> list[int]:
        """Where the name of a table stands that is not qualified."""
        return [place for place in self.privileges if self.at(place + 1).mark != "."]

    @cached_property
    def words(self) -> set[str]:
        """All unquoted names, which may be keywords."""
        return {token.word for token in self.tokens}

    def at(self, place: int) -> Token:
        """The token there, or nothing."""
        return self.tokens[place] if 0 <= place < len(self.tokens) else _NOTHING

    def qualified(self) -> Iterator[tuple[int, str, str]]:
        """Whatever stands as `a.b`: where, a, b ("" where no name follows the dot)."""
        for place, token in enumerate(self.tokens):
            if token.is_name and self.at(place + 1).mark == "." and self.at(place - 1).mark != ".":
                after = self.at(place + 2)
                yield place, token.text, after.text if after.is_name else ""

    def called(self) -> set[str]:
        """Names before a parenthesis: functions, and what looks like them."""
        return {
            token.text for place, token in enumerate(self.tokens) if token.is_name and self.at(place + 1).mark == "("
        }

    def sql(self, schemas: dict[int, str]) -> str:
        """The text, the tables qualified: `schemas` by place."""
        words = [token.sql for token in self.tokens]
        for place, schema in schemas.items():
            words[place] = f"{Token('quoted', schema).sql} . {Token('quoted', self.tokens[place].text).sql}"
        return " ".join(words)


def parse(text: str) -> Statement:
    """The statement, or `Refused`."""
    if len(text) > MOST_CHARS:
        raise Refused(f"its text is longer than {MOST_CHARS:,} characters")
    statement = Statement(list(_tokens(text)))
    first = next((token.word for token in statement.tokens if token.mark != "("), "")
    if first not in _KINDS:
        raise Refused("it is no SELECT, INSERT, UPDATE, DELETE or MERGE")
    _refuse_numbers(statement)
    for place, token in enumerate(statement.tokens):
        if token.word == "into" and statement.at(place - 1).word not in ("insert", "merge"):
            raise Refused("it is a SELECT INTO")
    _find_tables(statement)
    return statement


def _tokens(text: str) -> Iterator[Token]:
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None or not match.lastgroup:
            raise Refused("constants or characters that cannot be read safely are in its text")
        place = match.end()
        kind, found = match.lastgroup, match[0]
        if kind == "name":
            found = found.lower()
        elif kind == "quoted":
            found = found[1:-1].replace('""', '"')
        if kind in ("name", "quoted") and len(found.encode("utf-8", "replace")) > _NAME_BYTES:
            raise Refused("a name in its text is too long")
        if kind != "space":
            yield Token(kind, found)


def _refuse_numbers(statement: Statement) -> None:
    """All but those that PostgreSQL does not replace: `varchar(20)`, `ORDER BY 1, 2`."""
    fine: set[int] = set()
    for place, token in enumerate(statement.tokens):
        if token.kind != "number":
            continue
        before, earlier = statement.at(place - 1), statement.at(place - 2)
        sized = before.mark == "(" and _SIZED.fullmatch(earlier.word)
        if not (sized or before.word == "by" or (before.mark == "," and place - 2 in fine)):
            raise Refused("constants are in its text")
        fine.add(place)


@dataclass
class _Level:
    is_query: bool
    in_from: bool = False


def _find_tables(statement: Statement) -> None:
    """Only which names are to be qualified: what is missed is no danger, since the server then does not find it."""
    common = _common_names(statement)
    levels, expects = [_Level(True)], False
    for place, token in enumerate(statement.tokens):
        level = levels[-1]
        if token.mark in ("(", ")"):
            expects = _step(statement, place, levels, expects)
        elif not level.is_query:
            continue
        elif _begins_table(statement, place, level):
            level.in_from = level.in_from or token.word in ("from", "using")
            expects = True
        elif _END.fullmatch(token.word):
            level.in_from = expects = False
        elif expects and token.word not in ("only", "lateral"):
            expects = False
            if token.is_name and token.text not in common and not _is_function(statement, place):
                statement.privileges[place] = _privilege(statement, place)


def _step(statement: Statement, place: int, levels: list[_Level], expects: bool) -> bool:
    """Into a parenthesis or out of it; whether the name of a table may come next."""
    if statement.at(place).mark == ")":
        if len(levels) == 1:
            raise Refused("its parentheses do not match")
        levels.pop()
        return False
    is_query = statement.at(place + 1).word in _QUERIES
    is_join = expects and not is_query
    levels.append(_Level(is_query or is_join, in_from=is_join))
    return is_join


def _begins_table(statement: Statement, place: int, level: _Level) -> bool:
    """Whether the name of a table comes next."""
    token, before = statement.at(place), statement.at(place - 1)
    if token.word == "from":
        return not (before.word == "distinct" and statement.at(place - 2).word in ("is", "not"))
    if token.word == "using":
        return statement.at(place + 1).mark != "("
    if token.word == "update":
        return before.word not in ("for", "do", "key", "then")
    return token.word in ("join", "into") or (token.mark == "," and level.in_from)


def _is_function(statement: Statement, place: int) -> bool:
    """`generate_series(…)`, and not the target of `INSERT INTO t (…)`."""
    return statement.at(place + 1).mark == "(" and statement.at(place - 1).word != "into"


def _privilege(statement: Statement, place: int) -> str:
    before, words = statement.at(place - 1).word, statement.words
    if before == "into":
        if "merge" in words or "conflict" in words:
            return "INSERT, UPDATE, DELETE"
        return "INSERT"
    if before == "update" or {"for", "share"} <= words or {"for", "update"} <= words:
        return "UPDATE"
    return "DELETE" if before == "from" and statement.at(place - 2).word == "delete" else "SELECT"


def _common_names(statement: Statement) -> set[str]:
    """The names that WITH gives. Backwards, so that the end of a list of columns is known as its name comes."""
    found, closing = set(), len(statement.tokens)
    for place in reversed(range(len(statement.tokens))):
        token, before = statement.at(place), statement.at(place - 1)
        if token.mark == ")":
            closing = place
        elif token.is_name and (before.word in ("with", "recursive") or before.mark == ","):
            after = closing + 1 if statement.at(place + 1).mark == "(" else place + 1
            if statement.at(after).word == "as":
                found.add(token.text)
    return found
