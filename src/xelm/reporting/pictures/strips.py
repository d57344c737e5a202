"""Every arm in one picture: a row an arm, a tick a language, a marker for the mean."""

from collections.abc import Mapping, Sequence
from typing import Any

from xelm.reporting import arms, gains
from xelm.reporting.arms import Arm
from xelm.reporting.drawing import Box, Dot, Label, Line, Scene, widest
from xelm.reporting.gains import Gain
from xelm.reporting.pictures import frame
from xelm.reporting.scale import Scale, around, signed

_ROW, _ROW_NARROW = 25.0, 42.0


def arm_strips(summary: Mapping[str, Any], against: str, width: float = 760.0) -> Scene | None:
    """Gains of all arms but the seed over a control; None when there is nothing to compare."""
    names = arms.allocations(summary)
    found = {
        arm: gains.by_language(summary, arm.name, against)
        for arm in arms.of(summary)
        if arm.name != against and arm.kind != "seed"
    }
    found = {arm: by_language for arm, by_language in found.items() if by_language}
    if not found:
        return None
    scene = Scene(width, 0, f"Every arm against {against}: each language and the mean")
    narrow = width < frame.NARROW
    left = 0.0 if narrow else widest(arm.name for arm in found) + 12
    step, top = (_ROW_NARROW if narrow else _ROW), 26.0
    values = [gain.percent for by_language in found.values() for gain in by_language.values()]
    x = Scale(*around(values, include=0.0), left + 8, width - (10 if narrow else 60))
    scene.height = top + step * len(found) + 12
    frame.percent_grid(scene, x, top, scene.height - 8, against)
    for position, (arm, by_language) in enumerate(found.items()):
        y = top + step * (position + 1) - 10
        _names(scene, arm.name, gains.overall(summary, arm.name, against), y, narrow)
        _strip(scene, arm, by_language, gains.overall(summary, arm.name, against), names, x, y)
    return scene


def _names(scene: Scene, name: str, middle: Gain, y: float, narrow: bool) -> None:
    """The arm on the left and its mean on the right; on a phone both above the strip."""
    line = y - 17 if narrow else y
    text = f"{signed(middle.percent)} %"
    if narrow:  # the grid runs below the words
        scene.add(Box(0, line - 8, widest([name], 12) + 4, 16, "paper"))
        scene.add(Box(scene.width - 44, line - 8, 44, 16, "paper"))
    scene.add(Label(0, line, name, "ink", 12 if narrow else 13))
    scene.add(Label(scene.width, line, text, "ink", 12 if narrow else 12.5, "end"))


def _strip(
    scene: Scene,
    arm: Arm,
    by_language: Mapping[str, Gain],
    middle: Gain,
    names: Sequence[str],
    x: Scale,
    y: float,
) -> None:
    colour = arms.colour(arm, names)
    scene.add(Line(((x(0), y), (x(middle.percent), y)), colour, 2.0, opacity=0.5))
    for code, gain in by_language.items():
        hint = f"{frame.language_name(code)}: {signed(gain.percent, 2)} %"
        scene.add(Dot(x(gain.percent), y, "tick", colour, 6.0, opacity=0.5, hint=hint))
    hint = f"mean: {signed(middle.percent, 2)} %"
    scene.add(arms.dot(arm, names, x(middle.percent), y, 5.5, hint))
