"""Names and values as SQL that can be pasted."""

import re

from pgdoctor_lib.secret import UNPRINTABLE, printable

_PLAIN = re.compile("[a-z_][a-z0-9_]*")
_QUOTED = re.compile('"((?:[^"]|"")*)"')
_SHELL_WORD = re.compile(r"[\w@%+=:,./-]+", re.ASCII)
# What PostgreSQL's grammar keeps for itself, in any of the supported majors, as a name of a column or a table.
_RESERVED = frozenset(
    """
    all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both
    case cast char character check coalesce collate collation column concurrently constraint create cross
    current_catalog current_date current_role current_schema current_time current_timestamp current_user dec
    decimal default deferrable desc distinct do else end except exists extract false fetch float for foreign
    freeze from full grant greatest group grouping having ilike in initially inner inout int integer intersect
    interval into is isnull join json json_array json_arrayagg json_exists json_object json_objectagg json_query
    json_scalar json_serialize json_table json_value lateral leading least left like limit localtime
    localtimestamp merge_action natural nchar none normalize not notnull null nullif numeric offset on only or
    order out outer overlaps overlay placing position precision primary real references returning right row
    select session_user setof similar smallint some substring symmetric system_user table tablesample then time
    timestamp to trailing treat trim true union unique user using values varchar variadic verbose when where
    window with xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot
    xmlserialize xmltable
    """.split()  # noqa: SIM905
)


def identifier(*parts: str) -> str:
    """A name, qualified by those before it, in quotes where it needs them: `shop."Order"`."""
    return ".".join(part if _is_plain(part) else quote_identifier(part) for part in parts)


def quote_identifier(name: str) -> str:
    """`name` as an SQL identifier, always in quotes, and on one line: what does not print stands as its number."""
    return f'U&"{_by_number(_doubled(name), "{:04x}")}"' if UNPRINTABLE.search(name) else f'"{_doubled(name)}"'


def quote_literal(value: str) -> str:
    """`value` as an SQL literal, on one line, that reads the same whatever standard_conforming_strings is."""
    quoted = value.replace("'", "''")
    is_plain = "\\" not in value and not UNPRINTABLE.search(value)
    return f"'{quoted}'" if is_plain else f" E'{_by_number(quoted, 'u{:04x}')}'"


def relation_literal(*parts: str) -> str:
    """A relation's name as a literal that can be cast to regclass, which does not know `U&"…"`."""
    return quote_literal(relation_name(*parts)).strip()


def relation_name(*parts: str) -> str:
    """A relation's name as regclass, and programs that take one, read it. It may go over several lines."""
    return ".".join(part if _is_plain(part) else f'"{_doubled(part)}"' for part in parts)


def requoted(sql: str) -> str:
    """SQL in which the server has quoted the names, with each that goes over several lines quoted anew."""
    return _QUOTED.sub(lambda match: quote_identifier(match[1].replace('""', '"')), sql)


def comment(text: object) -> str:
    """What may follow `--`. Names are anybody's: none ends its comment."""
    return printable(" ".join(str(text).split()))


def shell_comment(word: str) -> str:
    """The same as one word of a shell."""
    return "'" + comment(word).replace("'", "'\\''") + "'" if not _SHELL_WORD.fullmatch(word) else word


def _is_plain(name: str) -> bool:
    return bool(_PLAIN.fullmatch(name)) and name not in _RESERVED


def _doubled(name: str) -> str:
    return name.replace('"', '""')


def _by_number(text: str, form: str) -> str:
    """With backslashes doubled, and what does not print as its number."""
    return UNPRINTABLE.sub(lambda match: "\\" + form.format(ord(match[0])), text.replace("\\", "\\\\"))
