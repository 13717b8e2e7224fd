"""What is expected at some place of a snapshot, where anything may stand: what has another shape counts as absent."""

from collections.abc import Mapping
from typing import Any

MOST = 1e18  # nothing that PostgreSQL counts, and no time, is beyond; and sums of such numbers stay finite


def number(value: object) -> float | int | None:
    """A number under `MOST`, either way."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < MOST else None


def real(value: object) -> float | None:
    """The same as arithmetic takes it."""
    known = number(value)
    return None if known is None else float(known)


def mapping(value: object) -> dict[str, Any]:
    """An object; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def objects(value: object) -> list[dict[str, Any]]:
    """The objects of a list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def section(document: object, name: str) -> dict[str, Any] | None:
    """A section of a snapshot; None where it has none that is an object."""
    found = mapping(mapping(document).get("sections")).get(name)
    return found if isinstance(found, dict) else None


def rows(document: object, name: str) -> list[dict[str, Any]]:
    """A section's rows; none where it has none."""
    return objects(mapping(section(document, name)).get("rows"))


def left_out(section: Mapping[str, Any]) -> int:
    """How many rows a section says that there are besides those that it has."""
    return max(0, int(number(section.get("more")) or 0))


def text(value: object, limit: int) -> str:
    """Text that can be stored: cut, without NUL and without halves of surrogate pairs; nothing for None."""
    told = value if isinstance(value, str) else "" if value is None else str(value)[:limit]
    return told[:limit].replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")
