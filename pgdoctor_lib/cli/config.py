"""`config init`, `show`, `path`, `test`: a sample, what is in force, where it is looked for, what works."""

import os
from json import dumps

from argh import arg

from pgdoctor_lib.errors import ConfigError, DatabaseError
from pgdoctor_lib.secret import one_line, printable


@arg("path", nargs="?", help="the file to write; pgdoctor.yaml unless given")
def init(path: str | None = None) -> None:
    """Write a commented sample that only you can read."""
    from pgdoctor_lib.config import sample

    path = path or "pgdoctor.yaml"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise ConfigError(f"{one_line(path)}: exists already", hint="name another file, or remove it") from None
    except OSError as error:
        raise ConfigError(f"{one_line(path)}: cannot be written: {error.strerror}") from None
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(sample.sample())
    print(path)


@arg("--json", help="as JSON")
def show(*, config: str | None = None, json: bool = False) -> None:
    """Print what is in force, and where each value comes from; secrets are masked."""
    from pgdoctor_lib.config import listing, load

    settings = load.read(config, os.environ)
    found = _discovered(config) if any(database["discover"].value for database in settings.databases) else {}
    if json:
        print(
            dumps(
                {**listing.as_json(settings), **({"discovered": found} if found else {})}, indent=2, ensure_ascii=False
            )
        )
        return
    print("\n".join(listing.lines(settings)))
    for entry, names in found.items():
        for name in [names] if isinstance(names, str) else names:
            print(printable(f"# discovered by {entry}: {name}"))


def _discovered(config: str | None) -> dict[str, list[str] | str]:
    """By entry, the names of its server's databases, looked for once, or why there are none."""
    from pgdoctor_lib.agent import discovery
    from pgdoctor_lib.config import load

    found: dict[str, list[str] | str] = {}
    for entry in load.load(config, os.environ, need_endpoint=False).databases:
        if entry.discover:
            try:
                found[entry.name] = [target.name for target in discovery.look(entry)]
            except DatabaseError as error:
                found[entry.name] = str(error)
    return found


def path(*, config: str | None = None) -> int:
    """Print where a configuration is looked for, in order; a star marks the one in use, a cross one that is refused."""
    from pgdoctor_lib.config import load

    order = load.search_order(config, os.environ)
    found = any(is_used for _, is_used in order)
    refused = load.refusal(config, os.environ) if found else ""
    for candidate, is_used in order:
        print(_place(one_line(candidate), is_used, refused))
    if not found:
        print(_without_file(config))
    return ConfigError.exit_status if refused else 0


def _place(candidate: str, is_used: bool, refused: str) -> str:
    if not is_used:
        return f"  {candidate}"
    return f"✗ {candidate}: refused: {refused}" if refused else f"* {candidate}"


def _without_file(config: str | None) -> str:
    """What happens without a file; an error where one was named."""
    from pgdoctor_lib.config import load

    load.find(config, os.environ)
    if os.environ.get("PGDOCTOR_DSN"):
        return "* the environment (PGDOCTOR_DSN): single-database mode"
    return 'none of these is there, and PGDOCTOR_DSN is not set; "pgdoctor config init" writes a file'


def test(*, config: str | None = None) -> int:
    """Load the configuration, connect to every database and to the endpoint, say what works and what doesn't."""
    from pgdoctor_lib.agent import discovery, oneshot
    from pgdoctor_lib.agent.rules import Rules
    from pgdoctor_lib.clock import SYSTEM
    from pgdoctor_lib.config import load

    loaded = load.load(config, os.environ)
    Rules.of(loaded)
    print(f"✓ configuration: {one_line(loaded.source or 'the environment')}")
    for warning in loaded.warnings:
        print(f"! {one_line(warning)}")
    expanded, well = discovery.examined(loaded, _tell)
    return 0 if oneshot.examine(expanded, SYSTEM, _tell) and well else 1


def _tell(what: str, how: str, well: bool | None) -> None:
    """A line; `well`: None where it works, and could do better."""
    mark = "!" if well is None else "✓" if well else "✗"
    print(f"{mark} {printable(what)}: {printable(how)}")
