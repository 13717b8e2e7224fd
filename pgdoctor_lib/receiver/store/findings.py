"""Findings over their life: opened by the first snapshot that has one, closed by the next one without it.

A snapshot that comes late, after one that is newer, neither opens nor closes what the newer one told; what it alone
knows is told as something that came and went.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pgdoctor_lib.receiver import shapes
from pgdoctor_lib.receiver.store.db import Db, chunks, marks, one
from pgdoctor_lib.receiver.store.model import MOST_FINDINGS, FindingRow

_MOST, _MOST_CHARS, _MOST_ID = 300, 20_000, 501
_WORST_FIRST = (
    "CASE {0}severity WHEN 'critical' THEN 0 WHEN 'warning' THEN 1 ELSE 2 END, {0}since DESC,"
    ' {0}id COLLATE "C", {0}source_id'
)
_KEPT = (
    "INSERT INTO finding (source_id, id, since, check_id, severity, last_seen, gone_at, data)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (source_id, id, since)"
)
_OPEN = f"{_KEPT} DO UPDATE SET severity = excluded.severity, gone_at = NULL, data = excluded.data"
_PASSED = f"{_KEPT} DO NOTHING"


def keep(db: Db, source: str, document: Mapping[str, Any], at: float, before: float | None) -> None:
    """Of the newest snapshot of a source. `before`: when the one before it was collected."""
    if not isinstance(document.get("findings"), list):
        return
    found = _told(document)
    there = {
        identity: (since, severity, data, check)
        for identity, since, severity, data, check in db.rows(
            "SELECT id, since, severity, data, check_id FROM finding WHERE source_id = ? AND gone_at IS NULL", (source,)
        )
    }
    for identity, finding in found.items():
        check, severity, data = _columns(finding)
        since = there[identity][0] if identity in there else _since(finding, at)
        if there.get(identity, ())[1:3] != (severity, data):
            db.run(_OPEN, (source, identity, since, check, severity, at, None, data))
    unknown = _not_examined(document)
    for identity, (since, _, _, check) in there.items():
        if identity not in found and check not in unknown:
            db.run(
                "UPDATE finding SET gone_at = ?, last_seen = ? WHERE source_id = ? AND id = ? AND since = ?",
                (at, at if before is None else before, source, identity, since),
            )


def keep_late(db: Db, source: str, document: Mapping[str, Any], at: float) -> None:
    """Of a snapshot that is not the newest: what nobody has told yet."""
    after = one(db, "SELECT min(collected_at) FROM snapshot WHERE source_id = ? AND collected_at > ?", (source, at))
    for identity, finding in _told(document).items():
        known = db.rows(
            "SELECT 1 FROM finding WHERE source_id = ? AND id = ? AND since <= ? AND (gone_at IS NULL OR gone_at > ?)",
            (source, identity, at, at),
        )
        if not known:
            check, severity, data = _columns(finding)
            gone_at = after[0] if after else at
            db.run(_PASSED, (source, identity, _since(finding, at), check, severity, at, gone_at, data))


def counts(db: Db, source: str) -> tuple[int, int]:
    """How many are open: critical ones, warnings. What the newest snapshot could not examine is among them."""
    sql = "SELECT severity, count(*) FROM finding WHERE source_id = ? AND gone_at IS NULL GROUP BY severity"
    found: dict[str, int] = dict(db.rows(sql, (source,)))
    return found.get("critical", 0), found.get("warning", 0)


def rows(db: Db, source: str | None, since: float | None, open_only: bool, project: str | None) -> list[FindingRow]:
    """Worst first, then the newest. `since`: those that were there at any time from then on."""
    wanted: list[tuple[str, object]] = [("f.source_id = ?", source)] if source is not None else []
    wanted += [("s.project = ?", project)] if project is not None else []
    wanted += [("(f.gone_at IS NULL OR f.gone_at >= ?)", since)] if since is not None else []
    where = [text for text, _ in wanted] + (["f.gone_at IS NULL"] if open_only else [])
    found = db.rows(
        "SELECT f.source_id, f.id, f.check_id, f.severity, f.since,"
        " CASE WHEN f.gone_at IS NULL THEN s.collected_at ELSE f.last_seen END, f.gone_at, f.data"
        f" FROM finding f JOIN source s ON s.id = f.source_id WHERE {' AND '.join(where) or '1 = 1'}"
        f" ORDER BY {_WORST_FIRST.format('f.')} LIMIT {MOST_FINDINGS}",
        [value for _, value in wanted],
    )
    return [replace(FindingRow(*row), data=json.loads(row[7])) for row in found]


def worst(db: Db, sources: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Of each of these the worst finding that is there, the newest of such."""
    found: dict[str, Mapping[str, Any]] = {}
    for some in chunks(sources):
        for source, data in db.rows(
            "SELECT source_id, data FROM (SELECT source_id, data,"
            f" row_number() OVER (PARTITION BY source_id ORDER BY {_WORST_FIRST.format('')}) AS place"
            f" FROM finding WHERE gone_at IS NULL AND source_id IN ({marks(some)})) ranked WHERE place = 1",
            some,
        ):
            found[source] = json.loads(data)
    return found


def forget(db: Db, before: float, batch: int) -> bool:
    """Those that went before then."""
    old = db.rows(f"SELECT source_id, id, since FROM finding WHERE gone_at < ? LIMIT {batch}", (before,))
    db.many("DELETE FROM finding WHERE source_id = ? AND id = ? AND since = ?", old)
    return len(old) == batch


def close_all(db: Db, source: str, at: float) -> None:
    """Of a database that is forgotten."""
    db.run("UPDATE finding SET gone_at = ?, last_seen = ? WHERE gone_at IS NULL AND source_id = ?", (at, at, source))


def _told(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for finding in shapes.objects(document.get("findings"))[:_MOST]:
        check, key = str(finding.get("check") or "")[:100], str(finding.get("key") or "")[:400]
        if check:
            found.setdefault(shapes.text(f"{check}:{key}" if key else check, _MOST_ID), finding)
    return found


def _columns(finding: Mapping[str, Any]) -> tuple[str, str, str]:
    data = json.dumps(finding, separators=(",", ":"))
    if len(data) > _MOST_CHARS:
        slim = {name: str(finding.get(name))[:2000] for name in ("check", "key", "summary", "subject", "remedy")}
        data = json.dumps({**slim, "severity": finding.get("severity")})
    severity = finding.get("severity")
    word = severity if severity in ("critical", "warning") else "info"
    return shapes.text(finding["check"], 100), word, data


def _since(finding: Mapping[str, Any], at: float) -> float:
    since = shapes.real(finding.get("since"))
    return at if since is None or not 0 <= since <= at else since


def _not_examined(document: Mapping[str, Any]) -> set[str]:
    """Checks that could not tell: what they found before is neither there nor gone."""
    return set(shapes.mapping(shapes.mapping(document.get("diagnosis")).get("not_examined")))
