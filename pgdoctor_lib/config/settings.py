"""What is in force, key by key, each value with the place that it came from.

The file wins over the environment, the environment over the defaults; a database has its own
values before those of the top level.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pgdoctor_lib.config import paths, values
from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.config.expand import expand, has_reference
from pgdoctor_lib.config.options import Option, Scope, did_you_mean, options
from pgdoctor_lib.config.tree import Items, Leaf, Node, Pairs, shown_key
from pgdoctor_lib.config.values import Around, InEntry
from pgdoctor_lib.errors import ConfigError
from pgdoctor_lib.secret import remember

ENDPOINT = (
    "endpoint", "token", "token_file", "ca_file", "cert_file", "key_file", "insecure_skip_verify", "request_timeout",
)  # fmt: skip
_SINGLE_ONLY = ("password_file", "password_command")  # whose variables no file's databases share
_DATABASES = "databases"


@dataclass(frozen=True)
class Setting:
    """A value in force. `origin`: file:line, a variable's name, "default" or "not set".

    `is_literal`: it stands in the file as it is, not as a reference to the environment.
    """

    value: Any = None
    origin: str = "not set"
    is_literal: bool = False


@dataclass(frozen=True)
class Settings:
    """All values by the options' names: the agent's, and each database's."""

    source: str | None
    agent: dict[str, Setting]
    databases: tuple[dict[str, Setting], ...] = ()


@dataclass(frozen=True)
class _Reader:
    """Reads a tree against the table of options. `file` as messages show it; `skipped` keys are left unread."""

    file: str
    around: Around
    skipped: tuple[str, ...]

    def agent(self, root: Node) -> dict[str, Setting]:
        if isinstance(root, Pairs) and {"token", "token_file"} <= root.pairs.keys():
            raise self._error(root.pairs["token_file"].line, "token_file", "token is given as well; keep one of them")
        return self._given(root, Scope.AGENT, "")

    def databases(self, root: Node) -> Iterator[dict[str, Setting]]:
        node = root.pairs.get(_DATABASES) if isinstance(root, Pairs) else None
        if node is None or node == Items(node.line, ()):
            line = node.line if node else 1
            raise self._error(line, _DATABASES, "list one database at least, with its name and dsn")
        if not isinstance(node, Items):
            raise self._error(node.line, _DATABASES, 'must be a list: "- name: …" and "dsn: …" for each database')
        for index, item in enumerate(node.items):
            yield self._database(item, f"{_DATABASES}[{index}]")

    def _database(self, item: Node, path: str) -> dict[str, Setting]:
        given = self._given(item, Scope.DATABASE, f"{path}.")
        for option in options(Scope.DATABASE).values():
            if option.required and option.name not in given:
                raise self._error(item.line, path, f"{option.name} is missing")
        return given

    def _given(self, node: Node, scope: Scope, path: str) -> dict[str, Setting]:
        return {
            option.name: self._setting(option, value, path + option.name)
            for option, value in self._entries(node, scope, path, "")
            if option.name not in self.skipped
        }

    def _entries(self, node: Node, scope: Scope, path: str, section: str) -> Iterator[tuple[Option, Node]]:
        if not isinstance(node, Pairs):
            raise self._error(node.line, (path + section).rstrip("."), 'must be a mapping of "key: value" lines')
        table = options(scope)
        for key, value in node.pairs.items():
            name = section + key
            if name in table:
                yield table[name], value
            elif any(known.startswith(f"{name}.") for known in table):
                yield from self._entries(value, scope, path, f"{name}.")
            elif scope is not Scope.AGENT or name != _DATABASES:
                raise self._unknown(value.line, path, section, key, scope)

    def _unknown(self, line: int, path: str, section: str, key: str, scope: Scope) -> ConfigError:
        siblings = [name.removeprefix(section) for name in options(scope) if name.startswith(section)]
        known = [name.partition(".")[0] for name in siblings] + ([_DATABASES] if scope is Scope.AGENT else [])
        return self._error(line, path + section + shown_key(key), "unknown key", did_you_mean(key, known, scope))

    def _setting(self, option: Option, node: Node, path: str) -> Setting:
        try:
            value = parse(option, _plain(node, option.kind.is_string, self.around.environ), self.around)
        except InEntry as error:
            raise self._error(_line_of(node, error.at), path + error.path, str(error)) from None
        except ValueError as error:
            raise self._error(node.line, path, str(error)) from None
        except ConfigError as error:
            raise self._error(node.line, path, error.message, error.hint) from None
        return Setting(value, f"{self.file}:{node.line}", _is_literal(node))

    def _error(self, line: int, path: str, what: str, hint: str = "") -> ConfigError:
        where = f"{self.file}:{line}: {path}" if path else f"{self.file}:{line}"
        return ConfigError(f"{where}: {what}", hint=hint)


def from_file(root: Node, source: str, around: Around, skipped: tuple[str, ...] = ()) -> Settings:
    """The settings of multi-database mode; ConfigError names file, line and key."""
    reader = _Reader(source.removeprefix("./"), around, skipped)
    given = reader.agent(root)
    if "token_file" in given:
        given["token"] = Setting()
    agent = _filled(given, Scope.AGENT, around, skipped)
    databases = tuple(_filled(each, Scope.DATABASE, around, _SINGLE_ONLY, agent) for each in reader.databases(root))
    return Settings(source, agent, databases)


def from_environment(around: Around, skipped: tuple[str, ...] = ()) -> Settings:
    """The settings of single-database mode: `PGDOCTOR_DSN` and its companions."""
    agent = _filled({}, Scope.AGENT, around, skipped)
    option = options(Scope.DATABASE)["dsn"]
    dsn = _variable(option, around)
    name = Setting(single_name(dsn.value), option.env)
    return Settings(None, agent, (_filled({"dsn": dsn, "name": name}, Scope.DATABASE, around, (), agent),))


def parse(option: Option, value: object, around: Around) -> Any:
    """A value through its kind's parser; a secret is known to the redactor before anything can fail."""
    if option.is_secret and isinstance(value, str):
        remember(value.strip())
    _check_text(value)
    return option.kind.parse(value, around)


def single_name(dsn: Dsn) -> str:
    """What a database without a configured name is called: as its DSN has it, else "default"."""
    return dsn.dbname if values.is_name(dsn.dbname) else "default"


def _filled(
    given: dict[str, Setting],
    scope: Scope,
    around: Around,
    skipped: tuple[str, ...],
    above: Mapping[str, Setting] | None = None,
) -> dict[str, Setting]:
    """Every option of the scope: as given, from above, from its variable, by default, or not set."""
    filled = {}
    for name, option in options(scope).items():
        if name in given:
            filled[name] = given[name]
        elif above and name in above:
            filled[name] = above[name]
        elif name not in skipped and around.environ.get(option.env):
            filled[name] = _variable(option, around)
        else:
            filled[name] = _default(option, around)
    return filled


def _default(option: Option, around: Around) -> Setting:
    if option.name == "spool.path":
        return Setting(paths.spool(around.environ), "default")
    return Setting(parse(option, option.default, around), "default") if option.default else Setting()


def _variable(option: Option, around: Around) -> Setting:
    try:
        return Setting(parse(option, around.environ[option.env], around), option.env)
    except ValueError as error:
        raise ConfigError(f"{option.env}: {error}") from None
    except ConfigError as error:
        raise ConfigError(f"{option.env}: {error.message}", hint=error.hint) from None


def _is_literal(node: Node) -> bool:
    """Whether nothing in it comes from the environment."""
    if isinstance(node, Leaf):
        return not has_reference(node.text)
    return all(map(_is_literal, node.items if isinstance(node, Items) else node.pairs.values()))


def _line_of(node: Node, at: tuple[int | str, ...]) -> int:
    """Where in the file that entry of it is; the last one on the way that is there."""
    for step in at:
        within: Any = node.items if isinstance(node, Items) else node.pairs if isinstance(node, Pairs) else {}
        try:
            node = within[step]
        except (KeyError, IndexError):
            break
    return node.line


def _plain(
    node: Node, is_string: bool, environ: Mapping[str, str], otherwise: str = "must be a string; quote it"
) -> Any:
    """Strings, lists and mappings, with references to the environment replaced."""
    if isinstance(node, Leaf):
        return _expanded(node, is_string, environ, otherwise)
    within = "must hold strings only; quote the others"
    if isinstance(node, Items):
        return [_plain(item, is_string, environ, within) for item in node.items]
    return {key: _plain(value, is_string, environ, within) for key, value in node.pairs.items()}


def _expanded(leaf: Leaf, is_string: bool, environ: Mapping[str, str], otherwise: str) -> str:
    if leaf.is_null:
        raise ValueError("has no value; give one, or remove the line")
    if is_string and not leaf.is_string:
        raise ValueError(otherwise)
    return expand(leaf.text, environ)


def _check_text(value: object) -> None:
    if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("is not UTF-8")
