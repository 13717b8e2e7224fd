"""Quantities as people write them."""

import pytest

from pgdoctor_lib.units import (
    format_bytes,
    format_count,
    format_duration,
    format_span,
    parse_duration,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(60, 60.0), (0.5, 0.5), ("30s", 30), ("5m", 300), ("1h", 3600), ("7d", 604800), (" 2 h ", 7200)],
)
def test_durations(text: object, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", [True, None, [], "", "5 parsecs", "-5", "1e3", "٣s", float("nan"), float("inf"), "9" * 99]
)
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="must be a duration"):
        parse_duration(text)


@pytest.mark.parametrize(("text", "size"), [(10, 10), ("64MiB", 64 * 1024**2), ("1 GB", 10**9), ("2gib", 2 * 1024**3)])
def test_sizes(text: object, size: int) -> None:
    assert parse_size(text) == size


def test_formats() -> None:
    assert [format_duration(each) for each in (300.0, 0.5, 86400.0)] == ["300s", "0.5s", "86400s"]
    assert [format_bytes(each) for each in (10, 2048, 3 * 1024**2, 5 * 1024**4)] == [
        "10 B",
        "2.0 KiB",
        "3.0 MiB",
        "5.0 TiB",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (60, "1 min"), (3600, "1 h"), (11520, "3 h 12 min"), (187200, "2 d 4 h")],
)
def test_spans(seconds: float, text: str) -> None:
    assert format_span(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"), [(812, "812"), (12345, "12,345"), (1.23e6, "1.2 million"), (3.4e9, "3.4 billion")]
)
def test_counts(number: float, text: str) -> None:
    assert format_count(number) == text
