"""What is made from the table of options: the sample file, and the tables of docs/configuration.md."""

from collections.abc import Iterator
from textwrap import indent

from pgdoctor_lib.config.options import Option, Scope, options

_HEAD = """\
# PGDoctor's configuration. What is commented out shows the default, or an example.
# ${NAME} and ${NAME:-default} stand for environment variables, in any string; $$ is a dollar.

"""


def sample() -> str:
    """A commented file that loads once PGDOCTOR_TOKEN is set."""
    top = "\n\n".join(_entries(Scope.AGENT))
    database = indent("\n".join(_entries(Scope.DATABASE)), "    ").lstrip()
    return f"{_HEAD}{top}\n\ndatabases:\n  - {database}\n"


def tables() -> dict[Scope, str]:
    """Markdown: each scope's keys, what they must be, their defaults and variables."""
    head = "| key | what it is | must be | default | variable |\n|---|---|---|---|---|\n"
    return {scope: head + "".join(_row(option, scope) for option in options(scope).values()) for scope in Scope}


def _entries(scope: Scope) -> Iterator[str]:
    """One option each: at the top with its explanation above it, in the list of databases beside it."""
    section = ""
    for option in options(scope).values():
        yield _nested(option, section) if "." in option.name else _entry(option, scope)
        section = option.name.rpartition(".")[0]


def _entry(option: Option, scope: Scope) -> str:
    line = ("" if option.required else "# ") + f"{option.name}: {option.example or option.default}"
    return f"# {option.text}\n{line}" if scope is Scope.AGENT else f"{line:<58}# {option.text}"


def _nested(option: Option, section_before: str) -> str:
    section, _, key = option.name.rpartition(".")
    head = "" if section == section_before else f"# {section}:\n"
    return f"{head}#   # {option.text}\n#   {key}: {option.example or option.default}"


def _row(option: Option, scope: Scope) -> str:
    inherited = scope is Scope.DATABASE and Scope.AGENT in option.scope
    otherwise = "required" if option.required else option.default and f"`{option.default}`"
    default = "the top level's" if inherited else otherwise
    variable = f"`{option.env}`" if option.env and not inherited else ""
    return f"| `{option.name}` | {option.text} | {option.kind.text} | {default} | {variable} |\n"
