"""Who waits for whom, as a picture: a box a session, each below the one that is in its way."""

from pgdoctor_lib.report.chains import Chain, Node
from pgdoctor_lib.report.html.parts import as_table, fit, picture, safe, table
from pgdoctor_lib.units import counted

_WIDTH, _BOX, _GAP, _STEP, _DEEPEST = 860, 62, 8, 26, 12
_COLUMN = 7.4  # a character's width, no less
_MOST_BOLD = 70


def draw(chain: Chain, key: str) -> str:
    """The picture with its table. `key`: unique in the page."""
    depths: list[int] = []
    boxes = lines = ""
    for line, node in enumerate(chain.nodes):
        depths.append(min(depths[node.above] + 1, _DEEPEST) if node.above >= 0 else 0)
        boxes += _box(node, depths[line], line)
        if node.above >= 0:
            lines += _line(depths[node.above], node.above, depths[line], line)
    root = chain.nodes[0].name
    count = counted(chain.waiting_count, "session")
    about = f"{count} below {root}, for up to {chain.longest}; the table below says the same"
    height = len(chain.nodes) * (_BOX + _GAP)
    drawn = picture(key, (_WIDTH, height), f"Who waits for {root}", about, lines + boxes)
    more = f'<p class="quiet">and {chain.more} more</p>' if chain.more else ""
    return f'<figure class="tree"><div class="scroll">{drawn}</div>{more}{as_table(_table(chain))}</figure>'


def _box(node: Node, depth: int, line: int) -> str:
    x, y = depth * _STEP + 1, line * (_BOX + _GAP) + 1
    width = _WIDTH - x - 1
    columns = (width - 22) / _COLUMN
    bold = f"{node.name}: {node.how_long}" if node.how_long else node.name
    kind = "root" if node.above < 0 else "waits"
    whole = safe(f"{bold}; {node.place}; {node.wants}; {node.query}", 1000)
    return (
        f'<g class="{kind}"><title>{whole}</title><rect x="{x}" y="{y}" width="{width}" height="{_BOX}" rx="6"/>'
        f'<text x="{x + 12}" y="{y + 19}"><tspan class="name">{fit(bold, _MOST_BOLD)}</tspan>'
        f'<tspan dx="10">{fit(node.place, columns - min(len(bold), _MOST_BOLD) - 3)}</tspan></text>'
        f'<text class="quiet" x="{x + 12}" y="{y + 36}">{fit(node.wants, columns)}</text>'
        f'<text class="query" x="{x + 12}" y="{y + 53}">{fit(node.query, columns)}</text></g>'
    )


def _line(depth: int, above: int, own: int, line: int) -> str:
    """From below the box of the one above to the left of its own."""
    x, top = depth * _STEP + 14, above * (_BOX + _GAP) + _BOX + 1
    middle = line * (_BOX + _GAP) + _BOX / 2
    return f'<path class="edge" d="M{x} {top}V{middle:g}H{own * _STEP + 1}"/>'


def _table(chain: Chain) -> str:
    heads = ("who", "waits for", "role, database, program", "how long", "lock", "statement")
    rows = [
        [
            *map(safe, (node.name, chain.nodes[node.above].name if node.above >= 0 else "nobody")),
            *map(safe, (node.place, node.how_long, node.wants)),
            f"<code>{safe(node.query)}</code>",
        ]
        for node in chain.nodes
    ]
    return table(heads, rows)
