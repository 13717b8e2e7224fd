"""The table: every address below /api/, its parameters, its answers. Routes and the OpenAPI document come from it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pgdoctor_lib.receiver import intake
from pgdoctor_lib.receiver.api import answers, schemas
from pgdoctor_lib.receiver.api.parameters import Parameter, choice, choices, length, moment, whole
from pgdoctor_lib.receiver.api.question import Question

Give = Callable[[Question], Any]
MOST_ROWS = 1000
# What an address may hold in place of {name}: how it looks, and what it is.
IN_PATH: Mapping[str, tuple[str, str]] = {
    "database": (schemas.ID, "a database's id"),
    "snapshot": (schemas.UUID, "a snapshot's id"),
    "queryid": ("-?[0-9]{1,20}", "as pg_stat_statements has it"),
    "relid": ("[0-9]{1,10}", "the table's oid"),
    "indexrelid": ("[0-9]{1,10}", "the index's oid"),
    "section": ("[a-z][a-z_]{0,39}", "a section of the snapshot: locks, activity, replication, settings, …"),
}
UPLOAD_REFUSALS: Mapping[int, str] = {
    400: "not JSON in UTF-8, not gzip, cut short, or an Idempotency-Key that is not the snapshot_id",
    401: "no token, or one that is not in force",
    408: "the body took longer than 30 s",
    411: "neither Content-Length nor chunked",
    413: f"over {intake.MAX_RAW_BYTES} bytes as sent, {intake.MAX_INFLATED_BYTES} inflated, or too many values",
    415: "a Content-Encoding other than gzip",
    421: "a name that is not the receiver's",
    422: "a JSON document that is no snapshot",
    503: "the store cannot be written just now",
}
ALWAYS: Mapping[int, str] = {
    405: "another method than this address has: Allow says which",
    500: "an error in the receiver, whose log says more",
}


@dataclass(frozen=True, eq=False)
class Operation:
    """One thing that can be asked. `answers`: by status, the name of its schema; `refusals`: by status, why.

    `give`: what reads it from the store; None for what the application itself answers.
    """

    method: str
    path: str
    name: str
    about: str
    answers: Mapping[int, str]
    give: Give | None = None
    parameters: tuple[Parameter, ...] = ()
    body: str = ""
    told_refusals: Mapping[int, str] | None = None
    is_public: bool = False

    @property
    def pattern(self) -> re.Pattern[str]:
        """Of its address."""
        return re.compile(re.sub(r"\{(\w+)\}", lambda name: f"(?P<{name[1]}>{IN_PATH[name[1]][0]})", self.path))

    @property
    def in_path(self) -> list[str]:
        """The names that its address holds."""
        return re.findall(r"\{(\w+)\}", self.path)

    @property
    def refusals(self) -> Mapping[int, str]:
        """By status, when it refuses."""
        if self.told_refusals is not None:
            return {**self.told_refusals, **ALWAYS}
        why = {400: "a parameter that is unknown, or out of its bounds", 421: UPLOAD_REFUSALS[421], **ALWAYS}
        if not self.is_public:
            why |= {401: UPLOAD_REFUSALS[401], 503: "the store cannot be read just now"}
        return why | ({404: "no such thing, or another project's"} if self.in_path else {})


_PAGE = (
    whole("limit", "how many at most", 100, 1, MOST_ROWS),
    whole("offset", "how many to leave out before", 0, 0, 100_000),
)
_SPAN = (
    moment("from", "the beginning; without it, `range` before the end"),
    moment("to", "the end; without it, now"),
    length("range", "how long, where `from` is not given: minutes, hours or days", "6h"),
)
_AT = (moment("at", "as it was then; without it, the newest"),)
_FINDINGS = (
    choice("severity", "of these only", schemas.SEVERITIES),
    moment("from", "those that were there at any time from then on; without it and `to`, the open ones"),
    moment("to", "those that were there until then"),
    *_PAGE,
)
_ONE = "/api/databases/{database}"


def _read(path: str, name: str, about: str, answer: str, give: Give, *parameters: Parameter) -> Operation:
    return Operation("GET", path, name, about, {200: answer}, give, parameters)


UPLOAD = Operation(
    "POST",
    "/api/snapshots",
    "uploadSnapshot",
    "Deliver a snapshot: once, however often it is sent. With an Idempotency-Key, it is the snapshot_id.",
    {201: "Receipt", 409: "Receipt"},
    body="Snapshot",
    told_refusals=UPLOAD_REFUSALS,
)
DOCUMENT = Operation("GET", "/api/openapi.json", "openapi", "This document.", {200: "OpenAPI"}, is_public=True)
OPERATIONS: tuple[Operation, ...] = (
    UPLOAD,
    _read(
        "/api/databases",
        "listDatabases",
        "Every database as its latest snapshot tells it, by name.",
        "Databases",
        answers.databases,
        choice("state", "of these only", schemas.STATES),
        whole("limit", "how many at most", MOST_ROWS, 1, MOST_ROWS),
        _PAGE[1],
    ),
    _read(_ONE, "getDatabase", "One database, with the figures of its latest snapshot.", "DatabaseInFull",
          answers.database),
    _read(
        f"{_ONE}/snapshots",
        "listSnapshots",
        "Its snapshots, the newest first.",
        "Snapshots",
        answers.snapshots,
        _PAGE[0],
        moment("before", "those before then: `before` of the last page"),
    ),
    _read("/api/snapshots/{snapshot}", "getSnapshot", "A snapshot, as it came.", "Snapshot", answers.snapshot),
    _read(
        f"{_ONE}/series",
        "getSeries",
        "Figures over time. Counters are what they grew by, per second; null in a gap.",
        "Series",
        answers.series,
        choices("metrics", "which, with commas between", answers.SERIES),
        *_SPAN,
        whole("points", "how many steps, about", 120, 1, 2000),
        choice("with", "what else: peaks, the highest value within each step", ("peaks",)),
    ),
    _read("/api/findings", "listFindings", "Findings of all databases, worst first; of 2,000 at most.", "Findings",
          answers.findings, *_FINDINGS),
    _read(f"{_ONE}/findings", "listFindingsOfDatabase", "Its findings, worst first; of 2,000 at most.", "Findings",
          answers.findings, *_FINDINGS),
    _read(
        f"{_ONE}/events",
        "listEvents",
        "What happened, the newest first; at most 1,000 each of findings that opened, of those that were resolved, and"
        " of all else: restarts, failovers, settings, schema, marks.",
        "Events",
        answers.events,
        choice("kind", "of these only", schemas.EVENTS),
        *_SPAN,
        *_PAGE,
    ),
    _read(f"{_ONE}/queries", "listQueries", "Statements by their share of all statements' time.", "Queries",
          answers.queries, *_SPAN, *_PAGE),
    _read(f"{_ONE}/queries/{{queryid}}", "getQuery", "One statement over time.", "QueryOverTime", answers.query,
          *_SPAN),
    _read(f"{_ONE}/tables", "listTables", "Its tables, as far as snapshots have them.", "Tables", answers.tables, *_AT,
          *_PAGE),
    _read(f"{_ONE}/tables/{{relid}}", "getTable", "One table over time, an hour apart.", "TableOverTime",
          answers.table, *_SPAN),
    _read(f"{_ONE}/indexes", "listIndexes", "Its indexes, as far as snapshots have them.", "Indexes", answers.indexes,
          *_AT, *_PAGE),
    _read(f"{_ONE}/indexes/{{indexrelid}}", "getIndex", "One index over time, an hour apart.", "IndexOverTime",
          answers.index, *_SPAN),
    _read(
        f"{_ONE}/sections/{{section}}",
        "getSection",
        "A section of the latest snapshot that has it: locks, activity, replication, settings, …"
        " What a server tells with another of its databases is taken from there.",
        "Section",
        answers.section,
        *_AT,
        *_PAGE,
    ),
    DOCUMENT,
)  # fmt: skip
