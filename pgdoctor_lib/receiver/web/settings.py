"""Settings: what is set, and what differs from another database's, or from another time's."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import unescape

from pgdoctor_lib.checks.document import Document, Row
from pgdoctor_lib.receiver.store.model import Source
from pgdoctor_lib.receiver.web import compare, frame, parts
from pgdoctor_lib.receiver.web.ask import Ask
from pgdoctor_lib.receiver.web.latest import attempt, rows_of
from pgdoctor_lib.receiver.web.listing import Column, Listing
from pgdoctor_lib.units import format_bytes

SECTIONS = ("settings", "database")


@dataclass(frozen=True)
class Settings:
    """What it shows. `other`: what it is compared with, where the address asks for that."""

    source: Source
    document: Document | None
    others: Sequence[Source]
    other: compare.Side | None


def view(settings: Settings, ask: Ask, foot: frame.Foot) -> str:
    """The page."""
    now = settings.document
    rows, why = rows_of(now, "settings")
    if rows and now:
        told = f'<p class="quiet">As of {parts.ago(now.taken_at("settings"), ask.now)}. Passwords are never told.</p>'
        body = f"{_difference(settings)}<h2>What is set</h2>{told}{_LISTING.html(rows, ask)}"
    else:
        body = parts.empty(f"No settings yet: they come every five minutes. {why}")
    form = compare.form(settings.source, settings.others, ask, "Compare settings")
    return frame.of_database(settings.source, "Settings", f"{frame.heading('Settings')}{form}{body}", ask, foot)


def _difference(settings: Settings) -> str:
    other, document = settings.other, settings.document
    if other is None or document is None:
        return ""
    if other.document is None:
        return parts.empty("No snapshot is kept of that time.")
    own = compare.Side(settings.source, "here and now", document)
    both, why = attempt(lambda: compare.compared(other, own), None)
    if both is None:
        return parts.empty(f"These cannot be compared: {why}")
    found = both.found
    if "settings" in found.not_compared:
        return parts.empty(f"Settings cannot be compared: {found.not_compared['settings']}")
    told = compare.changes(found.settings, both.first.title, both.second.title)
    return f"<section><h2>What differs</h2>{told}</section>"


_BYTES = {"B": 1, "kB": 1024, "8kB": 8192, "MB": 1024**2, "16MB": 16 * 1024**2, "1MB": 1024**2}
_MILLISECONDS = {"ms": 1, "s": 1000, "min": 60_000}


def _told(value: object, unit: object) -> str:
    """A setting in the unit that suits it; 0 and -1, which mean something of their own, as they are."""
    text, name = str(value if value is not None else ""), str(unit or "")
    try:
        number = float(text)
    except ValueError:
        return text
    if number <= 0 or not name:
        return text
    if name in _BYTES:
        return format_bytes(number * _BYTES[name])
    if name in _MILLISECONDS:
        return unescape(parts.milliseconds(number * _MILLISECONDS[name]))
    return f"{text} {name}"


def _value(row: Row) -> str:
    told = parts.one_line(_told(row.get("setting"), row.get("unit")), 200)
    exact = " ".join(filter(None, (str(row.get("setting") or ""), str(row.get("unit") or ""))))
    told = f'<span title="{parts.attribute(exact)}">{told}</span>' if row.get("unit") else told
    return f"<b>{told}</b>" if _is_set(row) else told


def _is_set(row: Row) -> bool:
    return row.get("source") != "default" and row.get("boot_val") is not None


def _where(row: Row) -> str:
    file = f"{str(row['sourcefile']).rpartition('/')[2]}:{row.get('sourceline')}" if row.get("sourcefile") else ""
    return " ".join(filter(None, (str(row.get("source") or ""), file)))


def _text(key: str, title: str) -> Column[Row]:
    return Column(
        key,
        title,
        lambda row: parts.one_line(row.get(key), 80),
        lambda row: str(row.get(key)).lower(),
        numeric=False,
        down=False,
    )


def _default(row: Row) -> str:
    if row.get("boot_val") is None:
        return '<span class="quiet">the same</span>'
    return parts.one_line(_told(row["boot_val"], row.get("unit")), 100)


_LISTING: Listing[Row] = Listing(
    columns=(
        _text("name", "Setting"),
        Column("value", "Value", lambda row: f"{_value(row)}{_pending(row)}", numeric=False),
        Column("default", "By default", _default, numeric=False),
        Column("source", "From", lambda row: parts.one_line(_where(row), 120), _where, numeric=False, down=False),
        _text("context", "Changes with"),
    ),
    words=lambda row: f"{row.get('name')} {row.get('setting')}",
    usual="name",
    noun="settings",
    shows=(
        ("set", "Not the default", _is_set),
        ("pending", "Waiting for a restart", lambda row: bool(row.get("pending_restart"))),
    ),
    page_rows=200,
)


def _pending(row: Row) -> str:
    return ' <span class="tag warning">waits for a restart</span>' if row.get("pending_restart") else ""
