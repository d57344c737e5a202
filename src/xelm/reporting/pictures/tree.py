"""The tree of languages that an allocation by typology was cut from, coloured by expert."""

from collections.abc import Mapping

from xelm.reporting import colours
from xelm.reporting.drawing import Box, Label, Line, Scene, rule, text_width, widest
from xelm.reporting.newick import Node
from xelm.reporting.pictures import frame
from xelm.reporting.scale import Scale

_ROW = 22.0


def tree(root: Node, owner: Mapping[str, str], width: float = 760.0) -> Scene:
    """Leaves on the right under their names; an expert's languages share a colour.

    Args:
        owner: language -> the expert that owns it.
    """
    leaves = root.leaves()
    names = {leaf.name: frame.language_name(leaf.name) for leaf in leaves}
    experts = list(dict.fromkeys(owner[leaf.name] for leaf in leaves if leaf.name in owner))
    hue = {expert: colours.series(number) for number, expert in enumerate(experts)}
    # A band for the expert's name, only where it says more than the languages beside it.
    band = widest(experts, 12) + 22 if experts else 0.0
    right = width - 1.15 * widest(names.values(), 13) - 14 - band  # bold is wider
    scene = Scene(width, 16 + _ROW * len(leaves) + 46, _title(root, experts))
    heights = _heights(root)
    x = Scale(heights[id(root)] or 1.0, 0.0, 8.0, right)
    rows = {id(leaf): 16 + _ROW * (i + 0.5) for i, leaf in enumerate(leaves)}
    painter = _Painter(scene, x, rows, heights, owner, hue)
    painter.draw(root)
    for leaf in leaves:
        colour = hue.get(owner.get(leaf.name, ""), "ink")
        _leader(scene, x(heights[id(leaf)]), right + 4, rows[id(leaf)])
        scene.add(Label(right + 10, rows[id(leaf)], names[leaf.name], colour, 13, bold=True))
    _bands(scene, [leaf.name for leaf in leaves], owner, hue, width - band + 6)
    _axis(scene, x, 16 + _ROW * len(leaves) + 6)
    return scene


def _title(root: Node, experts: list[str]) -> str:
    return f"Tree of {len(root.leaves())} languages, {len(experts)} experts"


def _heights(root: Node) -> dict[int, float]:
    """Node -> its distance from the level of the farthest leaf.

    The published pairing joins left-overs late, at whatever distance; such a join lies level with
    its sides in the file (a branch has no negative length). It is drawn a step beyond them.
    """
    whole, step = root.depth(), 0.025 * root.depth()
    found: dict[int, float] = {}

    def visit(node: Node, height: float) -> float:
        below = [visit(child, height - child.length) for child in node.children if child.children]
        for leaf in node.children:
            if not leaf.children:
                found[id(leaf)] = max(height - leaf.length, 0.0)
        found[id(node)] = max([height, *(side + step for side in below)])
        return found[id(node)]

    visit(root, whole)
    return found


class _Painter:
    """Draws a node's brackets below it; a subtree of one expert has that expert's colour."""

    def __init__(
        self,
        scene: Scene,
        x: Scale,
        rows: Mapping[int, float],
        heights: Mapping[int, float],
        owner: Mapping[str, str],
        hue: Mapping[str, str],
    ) -> None:
        self._scene, self._x, self._rows, self._heights = scene, x, rows, heights
        self._owner, self._hue = owner, hue

    def draw(self, node: Node) -> float:
        """Draw all below the node; returns its y."""
        if not node.children:
            return self._rows[id(node)]
        at = self._x(self._heights[id(node)])
        below = [(child, self.draw(child)) for child in node.children]
        for child, y in below:
            end = self._x(self._heights[id(child)])
            self._scene.add(Line(((at, y), (end, y)), self._colour(child), 2.0))
        ends = [y for _, y in below]
        self._scene.add(Line(((at, min(ends)), (at, max(ends))), self._colour(node), 2.0))
        return (min(ends) + max(ends)) / 2

    def _colour(self, node: Node) -> str:
        experts = {self._owner.get(leaf.name) for leaf in node.leaves()}
        return self._hue.get(experts.pop() or "", "muted") if len(experts) == 1 else "muted"


def _leader(scene: Scene, start: float, end: float, y: float) -> None:
    """From a leaf that ends early to its name."""
    if end - start > 12:
        scene.add(Line(((start + 6, y), (end, y)), "faint", dashed=True))


def _bands(
    scene: Scene, order: list[str], owner: Mapping[str, str], hue: Mapping[str, str], x: float
) -> None:
    """A bar beside each run of neighbours with one expert, and the expert's name."""
    start = 0
    for end in range(1, len(order) + 1):
        if end < len(order) and owner.get(order[end]) == owner.get(order[start]):
            continue
        expert = owner.get(order[start])
        if expert is not None:
            top, bottom = 16 + _ROW * start + 3, 16 + _ROW * end - 3
            scene.add(Box(x, top, 3, bottom - top, hue[expert], radius=1.5))
            scene.add(Label(x + 10, (top + bottom) / 2, expert, "muted", 12))
        start = end


def _axis(scene: Scene, x: Scale, y: float) -> None:
    """A path from leaf to leaf goes up and down, so a join at height h joins at distance 2 h."""
    scene.add(rule(x(x.low), y, x(0.0), y, "muted"))
    words = "distance at which they join"
    last = x(0.0)
    for value in Scale(0.0, 2 * x.low, 0, 1).ticks(4):
        at, text = x(value / 2), f"{value:g}"
        if at + text_width(text, 11) / 2 < last + 12:
            scene.add(rule(at, y, at, y + 4, "muted"))
            scene.add(Label(at, y + 13, text, "muted", 11, "middle"))
            last = at - text_width(text, 11)
    scene.add(Label(x(0.0) + 4, y + 30, words, "muted", 11, "end"))
