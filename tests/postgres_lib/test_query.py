"""The loader of .sql files: metadata, version marks, variables."""

from pathlib import Path

import pytest

from pgdoctor_lib.postgres.query import load
from pgdoctor_lib.quoting import quote_identifier, quote_literal

META = "-- source: v\n-- scope: server\n-- rows: one\n-- needs: nothing\n"
MARKED = """SELECT a,
       '-- not a comment' AS b,
       c,        -- [pg >= 17]
-- [pg < 17]       NULL AS c,
       d         -- [pg_stat_statements >= 1.10]
-- [pg_stat_statements < 1.10]       e AS d
  FROM v         -- people read this
"""


def loaded(folder: Path, text: str):
    path = folder / "v.total.sql"
    path.write_text(text, encoding="utf-8")
    return load(path)


def test_metadata_and_name(tmp_path: Path) -> None:
    query = loaded(tmp_path, META + "--\n-- limit: this is for people\nSELECT 1\n")
    assert (query.name, query.meta["scope"], "limit" in query.meta) == ("v.total", "server", False)
    assert query.sql(lambda condition: True) == "SELECT 1"


@pytest.mark.parametrize(
    "text", ["SELECT 1\n", META.replace("scope", "scoop") + "SELECT 1\n", "\n" + META + "SELECT 1\n"]
)
def test_metadata_is_complete_and_known(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"v\.total\.sql: metadata is"):
        loaded(tmp_path, text)


def test_marks_choose_lines(tmp_path: Path) -> None:
    query = loaded(tmp_path, META + MARKED)
    newest = query.sql(lambda condition: ">=" in condition)
    assert (
        newest
        == "SELECT a,\n       '-- not a comment' AS b,\n       c,\n       d\n  FROM v         -- people read this"
    )
    oldest = query.sql(lambda condition: "<" in condition)
    assert "NULL AS c,\n       e AS d" in oldest
    asked: list[str] = []
    query.sql(lambda condition: bool(asked.append(condition)))
    assert asked == ["pg >= 17", "pg < 17", "pg_stat_statements >= 1.10", "pg_stat_statements < 1.10"]


@pytest.mark.parametrize(
    "mark", ["-- [pg => 17]", "-- [pg 17]", "--[pg >= seventeen]", "-- [pg >= 17", "-- [pg >= 17] then"]
)
def test_a_mark_that_is_none_is_an_error(tmp_path: Path, mark: str) -> None:
    with pytest.raises(ValueError, match=r"v\.total\.sql:5: not a mark"):
        loaded(tmp_path, f"{META}SELECT a  {mark}\n")


def test_variables_are_quoted_as_psql_does(tmp_path: Path) -> None:
    query = loaded(tmp_path, META + "SELECT :'limit'::int, a::text FROM :\"schema\".v WHERE x = '12:30'")
    sql = query.sql(lambda condition: True, limit="2'0", schema='we "ird')
    assert sql == "SELECT '2''0'::int, a::text FROM \"we \"\"ird\".v WHERE x = '12:30'"
    assert query.sql(lambda condition: True, limit=":'schema'", schema="s").startswith("SELECT ':''schema'''")


def test_quoting() -> None:
    assert quote_identifier('a"b') == '"a""b"'
    assert quote_literal("a'b") == "'a''b'"
    assert quote_literal("a\\'b") == " E'a\\\\''b'"
