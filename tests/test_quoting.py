"""Names and values as SQL: on one line, and the same to the server."""

import pytest

from pgdoctor_lib.quoting import (
    comment,
    identifier,
    quote_identifier,
    quote_literal,
    relation_literal,
    requoted,
    shell_comment,
)
from tests.postgres.server import Server

NAMES = ["t", 'T"a', "a\\b", "a\nb", 'a"\\\n\u2028;', "a'\r\x85\u202e\\"]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_quoted_goes_over_one_line_and_is_the_same(server: Server, name: str) -> None:
    for written in (identifier("s", name), quote_literal(name), relation_literal(name), comment(name)):
        assert written.splitlines() == [written]
    assert server.sql(f"SELECT 1 AS {quote_identifier(name)}, {quote_literal(name)}")[0] == (1, name)
    [(found, there)] = server.sql(
        f"CREATE TEMP TABLE {identifier('pg_temp', name)} (); "
        f"SELECT relname, oid = {relation_literal('pg_temp', name)}::regclass FROM pg_class"
        " WHERE relnamespace = pg_my_temp_schema() AND relkind = 'r'"
    )
    assert (found, there) == (name, True)
    server.sql(f"SET standard_conforming_strings = off; SELECT 1 AS {quote_identifier(name)}, {quote_literal(name)}")


def test_what_the_server_quoted_goes_over_one_line() -> None:
    assert requoted('f."a""b"(int)') == 'f."a""b"(int)'
    assert requoted('"x\n\\".f("a""\r")') == 'U&"x\\000a\\\\".f(U&"a""\\000d")'


def test_a_name_as_a_word_of_a_shell() -> None:
    assert shell_comment('s."T"') == "'s.\"T\"'"
    assert shell_comment("s.t") == "s.t"
    assert shell_comment("it's\n$(x)") == "'it'\\''s $(x)'"
