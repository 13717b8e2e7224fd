"""Who waits for whom, as boxes joined by lines: below each session those that it keeps waiting. Text that flows."""

from collections.abc import Mapping, Sequence

from pgdoctor_lib.receiver.web import parts
from pgdoctor_lib.report.chains import Chain, Node
from pgdoctor_lib.units import counted

_DEEPEST = 12  # from there on boxes stand no further to the right
_MOST_CHARS = 160


def draw(chain: Chain) -> str:
    """The picture."""
    below: dict[int, list[int]] = {}
    for place, node in enumerate(chain.nodes):
        below.setdefault(node.above, []).append(place)
    about = f"{counted(chain.waiting_count, 'session')} below {chain.nodes[0].name}, for up to {chain.longest}"
    more = f'<p class="quiet">and {chain.more} more</p>' if chain.more else ""
    return f'<figure class="waits" aria-label="{parts.safe(about)}">{_level(chain.nodes, below, -1, 0)}{more}</figure>'


def _level(nodes: Sequence[Node], below: Mapping[int, Sequence[int]], above: int, depth: int) -> str:
    items = "".join(
        f"<li>{_box(nodes[place])}{_level(nodes, below, place, depth + 1)}</li>" for place in below.get(above, ())
    )
    flat = ' class="flat"' if depth > _DEEPEST else ""
    return f"<ol{flat}>{items}</ol>" if items else ""


def _box(node: Node) -> str:
    name = f"{node.name}: {node.how_long}" if node.how_long else node.name
    place, wants, query = (parts.one_line(text, _MOST_CHARS) for text in (node.place, node.wants, node.query))
    kind = "box root" if node.above < 0 else "box"
    told = f"<code>{query}</code>" if query else ""
    name = parts.one_line(name, _MOST_CHARS)
    return f'<div class="{kind}"><b>{name}</b> {place}<p class="quiet">{wants}</p>{told}</div>'
