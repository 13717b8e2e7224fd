"""A long table: its columns sort, its rows are found by words, and it comes in pages. All of it by plain addresses."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Generic, TypeVar

from pgdoctor_lib.collectors import registry
from pgdoctor_lib.receiver import shapes
from pgdoctor_lib.receiver.web import parts
from pgdoctor_lib.receiver.web.ask import Ask

PAGE_ROWS = 100

T = TypeVar("T")


@dataclass(frozen=True)
class Column(Generic[T]):
    """`cell`: its HTML; `by`: what it is sorted by (None sorts last), where it is; `down`: the greatest first."""

    key: str
    title: str
    cell: Callable[[T], str]
    by: Callable[[T], Any] | None = None
    numeric: bool = True
    down: bool = True
    about: str = ""


@dataclass(frozen=True)
class Listing(Generic[T]):
    """`words`: what a row is found by; `usual`: the column that it is sorted by where the address names none.

    `shows`: by the name of a choice, its title and which rows it takes; `section`: of the snapshot, which may hold a
    choice of them only.
    """

    columns: Sequence[Column[T]]
    words: Callable[[T], str]
    usual: str
    noun: str
    shows: Sequence[tuple[str, str, Callable[[T], bool]]] = ()
    page_rows: int = PAGE_ROWS
    section: str = ""

    def html(self, rows: Sequence[T], ask: Ask, left_out: int = 0) -> str:
        """The form, the table and the ways to the other pages. `left_out`: how many the snapshot does not have."""
        found = self._sorted(self._found(rows, ask), ask)
        shown, page, pages = paged(found, ask, self.page_rows)
        told = f"{parts.number(len(found))} of {parts.number(len(rows) + left_out)} {self.noun}"
        head = self._form(rows, ask, told, left_out) + self._lack(len(rows), left_out)
        if not shown:
            among = f" among those {parts.number(len(rows))}; it may be one of the others" if left_out else ""
            return f'{head}<p class="quiet">No {escape(self.noun)} like that{among}.</p>'
        lines = "".join(f"<tr>{self._cells(row)}</tr>" for row in shown)
        return (
            f'{head}<div class="scroll" tabindex="0" role="region" aria-label="{escape(self.noun)}">'
            f'<table class="listing"><thead><tr>{self._heads(ask)}</tr></thead>'
            f"<tbody>{lines}</tbody></table></div>{way(ask, page, pages)}"
        )

    def _found(self, rows: Sequence[T], ask: Ask) -> list[T]:
        wanted = ask.text("q").lower().split()
        takes = next((take for name, _, take in self.shows if name == ask.text("show")), None)
        return [
            row
            for row in rows
            if (takes is None or takes(row)) and (not wanted or _has(self.words(row).lower(), wanted))
        ]

    def _sorted(self, rows: list[T], ask: Ask) -> list[T]:
        column, down = self._order(ask)
        by = column.by or self.words
        known = [row for row in rows if by(row) is not None]
        return sorted(known, key=by, reverse=down) + [row for row in rows if by(row) is None]

    def _order(self, ask: Ask) -> tuple[Column[T], bool]:
        """The column, and whether the greatest come first: "-" before its name turns its usual order round."""
        given = ask.text("sort")
        named = {column.key: column for column in self.columns if column.by}
        column = named.get(given.removeprefix("-")) or named[self.usual]
        turned = given.startswith("-") and given.removeprefix("-") in named
        return column, column.down != turned

    def _lack(self, count: int, left_out: int) -> str:
        """What decides which the snapshot has."""
        if not left_out:
            return ""
        chosen = registry.query(self.section).meta.get("rows", "").removeprefix("many, ") if self.section else ""
        return (
            f'<p class="quiet" id="left-out">Of {parts.number(count + left_out)} {escape(self.noun)} the snapshot has '
            f"{parts.number(count)}: {escape(chosen)}. The other {parts.number(left_out)} are neither listed nor found"
            " by the filter.</p>"
        )

    def _form(self, rows: Sequence[T], ask: Ask, told: str, left_out: int) -> str:
        kinds = [
            ("", "All told" if left_out else "All", len(rows)),
            *((name, title, sum(map(take, rows))) for name, title, take in self.shows),
        ]
        links = "".join(
            f'<a href="{ask.link(show=name, page=None)}"{CURRENT if ask.text("show") == name else ""}>'
            f'{escape(title)} <span class="quiet">{count}</span></a>'
            for name, title, count in kinds
        )
        choice = f'<nav class="choice" aria-label="Which {escape(self.noun)}">{links}</nav>' if self.shows else ""
        return (
            f'<div class="tools">{choice}<form method="get" action="{escape(ask.path)}" role="search" data-soft>'
            f'<input type="search" name="q" id="q" value="{parts.attribute(ask.text("q"))}" autocomplete="off"'
            f' placeholder="Filter {escape(self.noun)}" aria-label="Filter {escape(self.noun)}">'
            f"{ask.hidden(('q', 'page'))}"
            f'<button>Filter</button></form><span class="quiet" role="status">{told}</span></div>'
        )

    def _heads(self, ask: Ask) -> str:
        current, down = self._order(ask)
        return "".join(self._head(column, ask, down if column.key == current.key else None) for column in self.columns)

    def _head(self, column: Column[T], ask: Ask, down: bool | None) -> str:
        """`down`: whether the greatest come first; None where it is not the one that is sorted by."""
        kind = ' class="n"' if column.numeric else ""
        about = f' title="{escape(column.about)}"' if column.about else ""
        if column.by is None:
            return f'<th scope="col"{kind}{about}>{escape(column.title)}</th>'
        turn = "-" if down is not None and down == column.down else ""
        is_usual = column.key == self.usual and not turn
        address = ask.link(sort=None if is_usual else f"{turn}{column.key}", page=None)
        order = "" if down is None else f' aria-sort="{"descending" if down else "ascending"}"'
        return f'<th scope="col"{kind}{order}{about}><a href="{address}">{escape(column.title)}</a></th>'

    def _cells(self, row: T) -> str:
        first, *rest = self.columns
        cells = "".join(f"<td{' class=n' if each.numeric else ''}>{each.cell(row)}</td>" for each in rest)
        return f'<th scope="row">{first.cell(row)}</th>{cells}'


CURRENT = ' aria-current="true"'


def paged(rows: Sequence[T], ask: Ask, page_rows: int) -> tuple[Sequence[T], int, int]:
    """Of the page that is asked for the rows, its number, and how many pages there are."""
    pages = max(1, -(-len(rows) // page_rows))
    page = min(max(1, ask.number("page") or 1), pages)
    return rows[(page - 1) * page_rows : page * page_rows], page, pages


def way(ask: Ask, page: int, pages: int) -> str:
    """The way to the pages before and after; nothing where there is but one."""
    if pages == 1:
        return ""
    before = f'<a href="{ask.link(page=page - 1)}" rel="prev">Previous</a>' if page > 1 else ""
    after = f'<a href="{ask.link(page=page + 1)}" rel="next">Next</a>' if page < pages else ""
    return f'<nav class="pages" aria-label="Pages">{before}<span>Page {page} of {pages}</span>{after}</nav>'


def _has(text: str, words: Sequence[str]) -> bool:
    return all(word in text for word in words)


def numbers(key: str, title: str, about: str = "") -> Column[Mapping[str, Any]]:
    """A column of a section's numbers, in few figures."""
    return Column(key, title, lambda row: count_of(row.get(key)), lambda row: shapes.real(row.get(key)), about=about)


def sizes(key: str, title: str) -> Column[Mapping[str, Any]]:
    """A column of a section's sizes."""
    return Column(key, title, lambda row: bytes_of(row.get(key)), lambda row: shapes.real(row.get(key)))


def bytes_of(value: object) -> str:
    """A size as a section has it."""
    return parts.size(shapes.real(value))


def count_of(value: object) -> str:
    """A number as a section has it, in few figures, the exact one on hover."""
    known = shapes.real(value)
    return parts.NOTHING if known is None else f'<span title="{parts.number(known)}">{parts.short(known)}</span>'
