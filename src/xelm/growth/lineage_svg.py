"""The lineage as one SVG picture: the seed at the left, each branching a step to the right.

Text, not paths: it can be searched and read aloud; colours follow the reader's light or dark mode.
"""

from dataclasses import dataclass
from html import escape

from xelm.growth.lineage import Lineage, Node

_GAP, _ROW, _MARGIN = 96, 46, 24  # pixels: from a label to the next generation, rows, around
_CHARACTER = 6.6  # mean width of one at this size, to make room for labels
_STYLE = """
text{font:13px system-ui,sans-serif;fill:#1a1a1a}
.facts{font-size:11px;fill:#5c5c5c}
.gone{fill:#8a8a8a}
path{fill:none;stroke:#b9b9b9;stroke-width:1.5}
circle{fill:#1f6f8b;stroke:#fff;stroke-width:1.5}
circle.gone{fill:#fff;stroke:#8a8a8a}
@media(prefers-color-scheme:dark){text{fill:#ececec}.facts{fill:#a8a8a8}path{stroke:#5a5a5a}
circle{fill:#6fc2de;stroke:#16181a}circle.gone{fill:#16181a}}
"""


@dataclass
class _Placed:
    node: Node
    depth: int
    y: float = 0.0
    parent: "_Placed | None" = None


def svg(lineage: Lineage) -> str:
    """A standalone SVG document."""
    placed: list[_Placed] = []
    row = 0
    for root in lineage.roots:
        row = _place(root, None, row, placed)
    columns = _columns(placed)
    width = max(columns[each.depth] + _label_width(each.node) for each in placed) + _MARGIN
    height = 2 * _MARGIN + row * _ROW
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img">',
        "<title>Lineage of the experts</title>",
        f"<style>{_STYLE}</style>",
        *(_edge(each, columns) for each in placed if each.parent),
        *(_label(each, columns[each.depth]) for each in placed),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _place(node: Node, parent: _Placed | None, row: int, placed: list[_Placed]) -> int:
    """Give the node and those below it rows; returns the next free row."""
    mine = _Placed(node, parent.depth + 1 if parent else 0, parent=parent)
    placed.append(mine)
    if not node.children:
        mine.y = _MARGIN + (row + 0.5) * _ROW
        return row + 1
    for child in node.children:
        row = _place(child, mine, row, placed)
    heights = [each.y for each in placed if each.parent is mine]
    mine.y = sum(heights) / len(heights)
    return row


def _columns(placed: list[_Placed]) -> list[float]:
    """Where each generation stands: edges begin behind the labels of the one before."""
    deepest = max(each.depth for each in placed)
    found = [float(_MARGIN)]
    for depth in range(deepest):
        widths = [_label_width(e.node) for e in placed if e.depth == depth and e.node.children]
        found.append(found[-1] + max(widths) + _GAP)
    return found


def _label_width(node: Node) -> float:
    return 18 + _CHARACTER * max(len(node.name) * 1.12, len(node.facts()) * 0.83)


def _edge(each: _Placed, columns: list[float]) -> str:
    parent = each.parent
    assert parent is not None
    start, end = columns[parent.depth] + _label_width(parent.node), columns[each.depth]
    bend = end - _GAP * 0.75
    return (
        f'<path d="M{start:.1f} {parent.y:.1f}H{bend:.1f}C{end - 40:.1f} {parent.y:.1f} '
        f'{bend + 20:.1f} {each.y:.1f} {end:.1f} {each.y:.1f}"/>'
    )


def _label(each: _Placed, x: float) -> str:
    node, gone = each.node, "" if each.node.current else " gone"
    facts = node.facts()
    middle = each.y - 4 if facts else each.y + 4.5
    return (
        f'<circle class="node{gone}" cx="{x:.1f}" cy="{each.y:.1f}" r="5"/>'
        f'<text class="name{gone}" x="{x + 11:.1f}" y="{middle:.1f}">{escape(node.name)}</text>'
        + (
            f'<text class="facts" x="{x + 11:.1f}" y="{each.y + 13:.1f}">{escape(facts)}</text>'
            if facts
            else ""
        )
    )
