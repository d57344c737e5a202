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
    right = width - widest(names.values()) - 14 - band
    scene = Scene(width, 16 + _ROW * len(leaves) + 30, _title(root, experts))
    x = Scale(root.depth(), 0.0, 8.0, right)
    heights = {id(leaf): 16 + _ROW * (i + 0.5) for i, leaf in enumerate(leaves)}
    painter = _Painter(scene, x, heights, owner, hue)
    painter.draw(root, root.depth())
    for leaf in leaves:
        colour = hue.get(owner.get(leaf.name, ""), "ink")
        _leader(scene, painter.ends[id(leaf)], right + 4, heights[id(leaf)])
        scene.add(Label(right + 10, heights[id(leaf)], names[leaf.name], colour, 13, bold=True))
    _bands(scene, [leaf.name for leaf in leaves], owner, hue, width - band + 6)
    _axis(scene, x, 16 + _ROW * len(leaves) + 6)
    return scene


def _title(root: Node, experts: list[str]) -> str:
    return f"Tree of {len(root.leaves())} languages, {len(experts)} experts"


class _Painter:
    """Draws a node's brackets below it; a subtree of one expert has that expert's colour."""

    def __init__(
        self,
        scene: Scene,
        x: Scale,
        heights: dict[int, float],
        owner: Mapping[str, str],
        hue: Mapping[str, str],
    ) -> None:
        self._scene, self._x, self._y = scene, x, heights
        self._owner, self._hue = owner, hue
        self.ends: dict[int, float] = {}
        """Leaf -> x where its edge ends."""

    def draw(self, node: Node, height: float) -> float:
        """Draw all below; `height` is the node's distance from the leaves. Returns its y."""
        if not node.children:
            self.ends[id(node)] = self._x(max(height, 0.0))
            return self._y[id(node)]
        at = self._x(max(height, 0.0))
        below = [(child, self.draw(child, height - child.length)) for child in node.children]
        for child, y in below:
            end = self._x(max(height - child.length, 0.0))
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
    scene.add(rule(x(x.low), y, x(0.0), y, "muted"))
    last = scene.width
    for value in Scale(0.0, x.low, 0, 1).ticks(4):
        at, text = x(value), f"{value:g}"
        if at + text_width(text, 11) / 2 < last:
            scene.add(
                rule(at, y, at, y + 4, "muted"), Label(at, y + 13, text, "muted", 11, "middle")
            )
            last = at - text_width(text, 11) / 2 - 6
