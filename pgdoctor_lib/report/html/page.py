"""The page: one file, several databases, the sickest first."""

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources

from pgdoctor_lib import __version__
from pgdoctor_lib.finding import Finding, Severity
from pgdoctor_lib.report.figures import Figures, Statement
from pgdoctor_lib.report.html import bars, tree
from pgdoctor_lib.report.html.findings import Findings
from pgdoctor_lib.report.html.parts import count, facts, milliseconds, moment, safe, seconds, table
from pgdoctor_lib.report.result import Result, tally, worst_first
from pgdoctor_lib.units import counted

_SHORT = 220  # characters of a statement; the rest opens


def page(results: Iterable[Result]) -> str:
    """The whole document. Of the same results, the same."""
    ordered = worst_first(results)
    style, script = _file("page.css"), _file("page.js")
    allowed = f"style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    policy = f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"
    body = "".join(_database(result, f"db-{number}") for number, result in enumerate(ordered, 1))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'
        f"<title>{_title(ordered)}</title><style>{style}</style></head>\n<body><main><h1>{_title(ordered)}</h1>"
        f"{_contents(ordered)}{body}</main>\n<footer><p>Made by PGDoctor {__version__}. Everything is in this file: it"
        f" loads nothing, and sends nothing.</p></footer><script>{script}</script></body></html>\n"
    )


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    """By which the policy lets this very text work, and no other."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _title(results: Sequence[Result]) -> str:
    whose = safe(results[0].name, 200) if len(results) == 1 else counted(len(results), "database")
    return f"Health of {whose}"


def _contents(results: Sequence[Result]) -> str:
    if len(results) == 1:
        return ""
    items = "".join(
        f'<li><a href="#db-{number}">{safe(result.name, 200)}</a> {_badges(result)}</li>'
        for number, result in enumerate(results, 1)
    )
    return f'<nav aria-label="Databases"><ol>{items}</ol></nav>'


def _badges(result: Result) -> str:
    if result.error:
        return '<span class="badge critical">could not be examined</span>'
    counts: Counter[Severity] = Counter()
    for finding in result.findings:
        counts[finding.severity] += 1 + finding.more
    found = [(each, counts[each]) for each in sorted(counts, reverse=True)]
    words = {Severity.CRITICAL: "critical", Severity.WARNING: "warning", Severity.INFO: "note"}
    told = [f'<span class="badge {each.word}">{_counted(number, words[each])}</span>' for each, number in found]
    return " ".join(told) or '<span class="badge well">nothing found</span>'


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" if word == "critical" else counted(number, word)


def _database(result: Result, key: str) -> str:
    head = f'<h2>{safe(result.name)}</h2><p class="tally">{_badges(result)}</p>'
    if result.error:
        return f'<section class="database" id="{key}">{head}<p class="error">{safe(result.error)}</p></section>'
    shown = result.figures or Figures()
    drawn = {f"blocking-chain:{each.key}": tree.draw(each, f"{key}-tree-{n}") for n, each in enumerate(shown.chains, 1)}
    parts = (
        facts(_head(result, shown)),
        _part("Findings", Findings(result.findings, shown.taken_at, drawn).html() or _well(result.findings)),
        _part("Who waits for whom", _other_trees(drawn, result.findings)),
        _part("What is how large, and who is connected", _pictures(shown, key)),
        _part("Statements that cost most", _statements(shown.statements)),
        _part("Not examined", _not_examined(result)),
        _part("Not shown", _listed(shown.missing)),
    )
    return f'<section class="database" id="{key}">{head}{"".join(parts)}</section>'


def _part(title: str, inner: str) -> str:
    return f"<section><h3>{title}</h3>{inner}</section>" if inner else ""


def _well(findings: Sequence[Finding]) -> str:
    return f"<p>{tally(findings).capitalize()}.</p>"


def _head(result: Result, shown: Figures) -> Iterable[tuple[str, str]]:
    yield "server", safe(result.of)
    if shown.taken_at:
        yield "seen", moment(shown.taken_at)
    if shown.compared_at:
        apart = seconds(max(0.0, shown.taken_at - shown.compared_at))
        yield "compared with", f"{moment(shown.compared_at)}, {apart} before"
    if shown.muted_count:
        yield "muted", f"{counted(shown.muted_count, 'finding')}, by the configuration"


def _other_trees(drawn: Mapping[str, str], findings: Sequence[Finding]) -> str:
    """Those that no finding shows."""
    told = {finding.id for finding in findings}
    return "".join(picture for key, picture in drawn.items() if key not in told)


def _pictures(shown: Figures, key: str) -> str:
    connected = bars.connections(shown.connections, f"{key}-connections") if shown.connections else ""
    told = (
        bars.sizes(shown.tables, f"{key}-tables", "Tables, the largest"),
        bars.sizes(shown.indexes, f"{key}-indexes", "Indexes, the largest"),
        bars.sizes(shown.databases, f"{key}-databases", "Databases of this server"),
        connected,
    )
    return f'<div class="pictures">{"".join(told)}</div>' if any(told) else ""


def _statements(found: Sequence[Statement]) -> str:
    if not found:
        return ""
    rows = [
        [_text(each.text), count(each.calls), milliseconds(each.total_ms), milliseconds(each.mean_ms), count(each.rows)]
        for each in found
    ]
    return table(("statement", "calls", "time", "per call", "rows"), rows, numeric=frozenset((1, 2, 3, 4)))


def _text(statement: str) -> str:
    """On one line; a long one opens."""
    line = " ".join(statement.split())
    if len(line) <= _SHORT:
        return f"<code>{safe(line)}</code>"
    return f"<details><summary><code>{safe(line[:_SHORT])}…</code></summary><code>{safe(line)}</code></details>"


def _not_examined(result: Result) -> str:
    by_reason: dict[str, list[str]] = {}
    for check, why in result.not_examined.items():
        by_reason.setdefault(why, []).append(check)
    return _listed({", ".join(names): why for why, names in by_reason.items()})


def _listed(told: Mapping[str, str]) -> str:
    items = "".join(f"<div><dt>{safe(what)}</dt><dd>{safe(why)}</dd></div>" for what, why in told.items())
    return f'<dl class="listed">{items}</dl>' if items else ""
