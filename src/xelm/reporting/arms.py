"""Names of arms: their parts, their order in a table, their marker in a picture.

An allocation has one hue; what is done with it has a shape: own is a full circle, its dense-matched
the hollow one, the mixture a diamond, top1 a triangle. Dense is ink, the seed grey.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from xelm.reporting import colours
from xelm.reporting.drawing import Dot, Shape

MATCHED = "dense-matched"
_KINDS = ("own", "mixture", "top1")
_SHAPES: dict[str, Shape] = {"mixture": "diamond", "top1": "triangle", "seed": "square"}


@dataclass(frozen=True)
class Arm:
    """An arm's name in parts; controls of no allocation have none."""

    name: str
    allocation: str | None
    kind: str
    """`seed`, `dense`, `dense-matched`, `own`, `mixture`, `top1`."""

    @property
    def is_team(self) -> bool:
        """Made of experts, not a control."""
        return self.kind not in {"seed", "dense", MATCHED}

    @property
    def lines(self) -> list[str]:
        """The name broken for a narrow column."""
        if self.kind == MATCHED:
            return ["dense-", "matched", self.allocation or ""]
        return [self.allocation, self.kind] if self.allocation else [self.kind]


def parse(name: str) -> Arm:
    """`typology-8/own` -> allocation `typology-8`, kind `own`."""
    first, _, rest = name.partition("/")
    if not rest:
        return Arm(name, None, first)
    if first == MATCHED:
        return Arm(name, rest, MATCHED)
    allocation, _, kind = name.rpartition("/")
    return Arm(name, allocation, kind)


def ordered(names: Iterable[str], allocations: Sequence[str]) -> list[Arm]:
    """Seed, dense, then allocation by allocation: its control, own, mixture, top1."""
    order = {name: position for position, name in enumerate(allocations)}
    kinds = ("seed", "dense", MATCHED, *_KINDS)

    def key(arm: Arm) -> tuple[int, int, str]:
        place = -1 if arm.allocation is None else order.get(arm.allocation, len(order))
        return place, kinds.index(arm.kind) if arm.kind in kinds else len(kinds), arm.name

    return sorted(map(parse, names), key=key)


def of(summary: Any) -> list[Arm]:
    """All arms of a summary, in order."""
    return ordered(summary["arms"], allocations(summary))


def allocations(summary: Any) -> list[str]:
    """The headline's allocation first (it leads every picture), then the others as they are."""
    names = list(summary.get("allocations", {}))
    headline = summary.get("headline")
    first = parse(headline["arm"]).allocation if headline else None
    return sorted(names, key=lambda name: name != first)


def colour(arm: Arm, allocations: Sequence[str]) -> str:
    """The role of an arm's hue."""
    if arm.kind == "seed":
        return "muted"
    if arm.allocation is None or arm.allocation not in allocations:
        return "ink"
    return colours.series(list(allocations).index(arm.allocation))


def dot(
    arm: Arm, allocations: Sequence[str], x: float, y: float, size: float = 5.5, hint: str = ""
) -> Dot:
    """An arm's marker."""
    shape = _SHAPES.get(arm.kind, "circle")
    hollow = arm.kind in {MATCHED, "seed"}
    return Dot(x, y, shape, colour(arm, allocations), size, not hollow, hint=hint)
