"""The lineage as one SVG picture: the seed at the left, each branching a step to the right.

Text, not paths: it can be searched and read aloud; colours follow the reader's light or dark mode.
"""

from dataclasses import dataclass
from html import escape

from xelm.growth.lineage import Lineage, Node

_STEP, _ROW, _MARGIN = 260, 46, 24  # pixels: between generations, between leaves, around
_CHARACTER = 6.4  # mean width of one at this size, to make room for labels
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


@dataclass(frozen=True)
class _Placed:
    node: Node
    x: float
    y: float
    parent: "tuple[float, float] | None"


def svg(lineage: Lineage) -> str:
    """A standalone SVG document."""
    placed: list[_Placed] = []
    row = 0.0
    for root in lineage.roots:
        row = _place(root, 0, row, placed)
    width = max(each.x + _label_width(each.node) for each in placed) + _MARGIN
    height = max(each.y for each in placed) + _ROW / 2 + _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img">',
        "<title>Lineage of the experts</title>",
        f"<style>{_STYLE}</style>",
        *(_edge(each) for each in placed if each.parent),
        *(_label(each) for each in placed),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _place(node: Node, depth: int, row: float, placed: list[_Placed]) -> float:
    """Give the node and those below it places; returns the next free row."""
    x, first, number = _MARGIN + depth * _STEP, row, len(placed)
    placed.append(_Placed(node, x, 0, None))  # its height is known when its children's are
    children = []
    for child in node.children:
        children.append(len(placed))
        row = _place(child, depth + 1, row, placed)
    heights = [placed[index].y for index in children]
    y = sum(heights) / len(heights) if heights else _MARGIN + (first + 0.5) * _ROW
    placed[number] = _Placed(node, x, y, None)
    for index in children:
        placed[index] = _Placed(placed[index].node, placed[index].x, placed[index].y, (x, y))
    return row if children else row + 1


def _label_width(node: Node) -> float:
    return 16 + _CHARACTER * max(len(node.name) * 1.15, len(node.facts()) * 0.92)


def _edge(each: _Placed) -> str:
    assert each.parent is not None
    x, y = each.parent
    middle = each.x - _STEP * 0.25
    if y == each.y:
        return f'<path d="M{x:.1f} {y:.1f}H{each.x:.1f}"/>'
    return (
        f'<path d="M{x:.1f} {y:.1f}C{middle:.1f} {y:.1f} {middle - 30:.1f} {each.y:.1f} '
        f'{each.x:.1f} {each.y:.1f}"/>'
    )


def _label(each: _Placed) -> str:
    node, gone = each.node, "" if each.node.current else " gone"
    return (
        f'<circle class="node{gone}" cx="{each.x:.1f}" cy="{each.y:.1f}" r="5"/>'
        f'<text class="name{gone}" x="{each.x + 11:.1f}" y="{each.y - 4:.1f}">'
        f"{escape(node.name)}</text>"
        f'<text class="facts" x="{each.x + 11:.1f}" y="{each.y + 14:.1f}">'
        f"{escape(node.facts())}</text>"
    )
