"""Asks for parts of a snapshot: together in one statement, or, where that fails, each on its own."""

import time
from dataclasses import dataclass, field

from pgdoctor_lib.collectors.registry import PLANNING, Asked, small_number, statement, took_ms
from pgdoctor_lib.errors import DatabaseError
from pgdoctor_lib.postgres.session import Row, Session
from pgdoctor_lib.snapshot import Cost

TOGETHER_S = 10.0
ALONE_S = 10.0
NOT_PREPARED = "26000"  # a pooler that had looked like none
_AGAIN = ("XX000", "42P01")  # a relation that was dropped between its being found and looked at
_LOST = ("", "57P01", "57P02", "57P03")  # no SQLSTATE: the connection broke; the server is going down
_CHANGED = "08000"  # what is known of the server is no longer true: another session is needed


@dataclass
class Answers:
    """By a part's name: the row that it brought, what it cost, or why it failed."""

    rows: dict[str, Row] = field(default_factory=dict)
    costs: dict[str, Cost] = field(default_factory=dict)
    failures: dict[str, DatabaseError] = field(default_factory=dict)

    def add(self, part: Asked, row: Row, before: str | None, after: str | None) -> None:
        """The server's clock in milliseconds, before and after."""
        self.rows[part.name] = row
        count, _, _ = (row[0] or "").partition(" ")
        size = sum(len(text or "") for text in row)
        self.costs[part.name] = Cost(took_ms(before, after), small_number(count), size)


def ask(session: Session, asked: list[Asked], budget_s: float, patience_s: float) -> Answers:
    """What each cycle asks, together; the rest alone: it takes longer, and some of it locks until it commits.

    Of the rest what is asked most often comes first, for it may be long until the next cycle.
    """
    answers = Answers()
    quick, dear = ([part for part in asked if bool(part.every_s) is seldom] for seldom in (False, True))
    alone_s = min(ALONE_S, budget_s / 2 / max(1, len(asked)))
    try:
        if quick:
            _together(session, quick, min(TOGETHER_S, budget_s / 3), answers)
    except DatabaseError as error:
        if is_lost(error) or error.sqlstate == NOT_PREPARED:
            raise
        for part in quick:
            _alone(session, part, alone_s, answers)
    until = time.monotonic() + patience_s
    for number, part in enumerate(sorted(dear, key=lambda each: each.every_s)):
        if number == 0 or time.monotonic() < until:
            _alone(session, part, alone_s, answers)
    return answers


def _together(session: Session, asked: list[Asked], timeout_s: float, answers: Answers) -> None:
    """All parts in one round trip."""
    is_one = len(asked) == 1
    text, width = statement(tuple(asked)), sum(len(part.columns) + 1 for part in asked) + (2 if is_one else 3)
    row = session.ask(text, width, timeout_s, again=True)
    if row[-1] != str(session.facts.in_recovery).lower():
        raise DatabaseError("the server's role changed: it was promoted", sqlstate=_CHANGED)
    start = 0
    if not is_one:
        start = 1
        answers.costs[PLANNING] = Cost(took_ms(row[0], row[1]), 0, 0)
    for part in asked:
        end = start + 1 + len(part.columns)
        answers.add(part, row[start + 1 : end], row[start], row[end])
        start = end


def _alone(session: Session, part: Asked, timeout_s: float, answers: Answers) -> None:
    """A part in a transaction of its own; once more where what it looked at has just been dropped."""
    for is_last in (False, True):
        try:
            before, *row, after, _ = session.ask(statement((part,)), len(part.columns) + 3, timeout_s)
        except DatabaseError as error:
            if is_lost(error):
                raise
            if is_last or error.sqlstate not in _AGAIN:
                answers.failures[part.name] = error
                return
        else:
            answers.add(part, tuple(row), before, after)
            return


def is_lost(error: DatabaseError) -> bool:
    """Whether the session is gone."""
    return error.sqlstate in _LOST or error.sqlstate.startswith("08")
