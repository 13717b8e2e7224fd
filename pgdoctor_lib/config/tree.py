"""YAML without its surprises: text in, a tree of `Leaf`, `Items` and `Pairs` with line numbers out.

Built from the parser's events, so nothing is ever constructed. Limits keep bombs from going off:
aliases count for all that they stand for. PyYAML's own words quote the file, which may hold a
token: they are replaced by ours.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml
from yaml import events

MAX_DEPTH = 20
MAX_NODES = 10_000
_CORE = "tag:yaml.org,2002:"
_NULL = f"{_CORE}null"
_KNOWN_TAGS = {"!", *(_CORE + name for name in ("str", "int", "float", "bool", "null", "seq", "map"))}
_EXPLANATIONS = {
    "mapping values are not allowed": 'a ":" where none can stand; quote the value, or mind the indentation',
    "found character '\\t'": "a tab; YAML is indented with spaces",
    "could not find expected ':'": 'a key without ": "',
    "end of stream": "a quote that is not closed",
    "expected <block end>": "the indentation does not fit the lines above",
    "expected ',' or ']'": 'a list without its "]"',
    "expected ',' or '}'": 'a mapping without its "}"',
    "cannot start any token": "a character that no value can begin with; quote the value",
    "undefined alias": "an alias (*name) without its anchor (&name)",
    "unknown escape character": "a backslash that means nothing within \"…\"; write it twice, or use '…'",
}
_KEY = re.compile(r"[A-Za-z]?[a-z]{1,30}([_-][a-z]{1,30}){0,3}")  # digits and capitals are what tokens have
_UNFINISHED = ("end of stream", "expected ','", "expected ':'")  # reported where it begins, not where YAML gave up


class Malformed(Exception):
    """The text is not such YAML as a configuration may be: the line (from 1), and what is wrong."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(line, what)
        self.line = line
        self.what = what


@dataclass(frozen=True)
class Leaf:
    """A scalar as it is written. `is_string` where YAML reads a string, `is_null` where nothing."""

    line: int
    text: str
    is_string: bool = True
    is_null: bool = False


@dataclass(frozen=True)
class Items:
    """A list."""

    line: int
    items: "tuple[Node, ...]"


@dataclass(frozen=True)
class Pairs:
    """A mapping; each value has its key's line."""

    line: int
    pairs: "dict[str, Node]"


Node = Leaf | Items | Pairs


def parse(text: str) -> Node:
    """The tree of the one document in `text`; Malformed where there is none, or a bad one."""
    try:
        loader = yaml.SafeLoader(text)
    except yaml.reader.ReaderError as error:
        raise Malformed(text.count("\n", 0, error.position) + 1, "a control character") from None
    try:
        return _Builder(loader).document()
    except yaml.MarkedYAMLError as error:
        raise _malformed(error) from None
    except (ValueError, OverflowError, RecursionError):
        raise Malformed(loader.line + 1, "not valid YAML: it cannot be read") from None
    finally:
        loader.dispose()


def _malformed(error: yaml.MarkedYAMLError) -> Malformed:
    problem = error.problem or ""
    mark = error.context_mark if any(each in problem for each in _UNFINISHED) else error.problem_mark
    ours = next((ours for phrase, ours in _EXPLANATIONS.items() if phrase in problem), "it cannot be read")
    return Malformed(mark.line + 1 if mark else 1, f"not valid YAML: {ours}")


class _Builder:
    """Makes nodes from events, counting as it goes."""

    def __init__(self, loader: yaml.SafeLoader) -> None:
        self._loader = loader
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._count = 0

    def document(self) -> Node:
        self._next()  # the stream's start
        if not isinstance(self._next(), events.DocumentStartEvent):
            raise Malformed(1, "the file is empty")
        root = self._node(self._next(), 0)
        self._next()  # the document's end
        following = self._next()
        if isinstance(following, events.DocumentStartEvent):
            raise Malformed(_line(following), "a second document; only one is read")
        return root

    def _next(self) -> yaml.Event:
        return self._loader.get_event()  # type: ignore[no-any-return, no-untyped-call]

    def _node(self, event: yaml.Event, depth: int, line: int = 0) -> Node:
        line = line or _line(event)
        if isinstance(event, events.AliasEvent):
            return self._alias(event, line)
        before = self._count
        self._add(1, line)
        if depth > MAX_DEPTH:
            raise Malformed(line, f"nested more than {MAX_DEPTH} deep")
        if getattr(event, "tag", None) not in (None, *_KNOWN_TAGS):
            raise Malformed(line, "a tag (!…) that makes an object; only plain values are read")
        node = self._untagged(event, depth, line)
        if getattr(event, "anchor", None):
            self._anchors[event.anchor] = (node, self._count - before)  # type: ignore[attr-defined]
        return node

    def _untagged(self, event: yaml.Event, depth: int, line: int) -> Node:
        if isinstance(event, events.ScalarEvent):
            return self._leaf(event, line)
        if isinstance(event, events.SequenceStartEvent):
            return Items(line, tuple(self._node(each, depth + 1) for each in self._until(events.SequenceEndEvent)))
        return Pairs(line, self._pairs(depth))

    def _alias(self, event: events.AliasEvent, line: int) -> Node:
        if event.anchor not in self._anchors:
            raise Malformed(line, "not valid YAML: an alias (*name) without its anchor (&name)")
        node, size = self._anchors[event.anchor]
        self._add(size, line)
        return node

    def _add(self, nodes: int, line: int) -> None:
        self._count += nodes
        if self._count > MAX_NODES:
            raise Malformed(line, f"more than {MAX_NODES} values, aliases counted in full")

    def _leaf(self, event: events.ScalarEvent, line: int) -> Leaf:
        tag = event.tag
        if tag in (None, "!"):
            tag = self._loader.resolve(yaml.ScalarNode, event.value, event.implicit)  # type: ignore[no-untyped-call]
        return Leaf(line, event.value, tag == f"{_CORE}str", tag == _NULL)

    def _pairs(self, depth: int) -> dict[str, Node]:
        pairs: dict[str, Node] = {}
        for event in self._until(events.MappingEndEvent):
            key = self._node(event, depth + 1)
            line = _line(event)
            if not isinstance(key, Leaf) or not key.is_string:
                raise Malformed(line, "a key that is not a string; quote it")
            if key.text in pairs:
                raise Malformed(line, f"{shown_key(key.text)}: given twice")
            pairs[key.text] = self._node(self._next(), depth + 1, line)
        return pairs

    def _until(self, end: type[yaml.Event]) -> Iterator[yaml.Event]:
        while not isinstance(event := self._next(), end):
            yield event


def shown_key(key: str) -> str:
    """A key for a message, or "…" where it may be something else, such as a token that lost its key."""
    return key if _KEY.fullmatch(key) else "…"


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1
