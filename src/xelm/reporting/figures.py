"""The pictures of a page, each drawn for a screen and for a phone."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from xelm.reporting import arms, gains, newick, svg
from xelm.reporting.drawing import Scene
from xelm.reporting.pictures import curves, dots, heat, strips, tree
from xelm.reporting.pictures.curves import Curve
from xelm.reporting.run_files import RunFiles, jobs_of

_WIDE, _PHONE = 760.0, 352.0


@dataclass(frozen=True)
class Figure:
    """A picture in two widths; the page shows the one that fits."""

    wide: Markup
    phone: Markup


def figure(draw: Callable[[float], Scene]) -> Figure:
    """Draw a scene in both widths."""
    # The SVG is ours: every text in it is escaped where it is written.
    wide, phone = (Markup(svg.inline(draw(width))) for width in (_WIDE, _PHONE))
    return Figure(wide, phone)


def by_language(summary: Mapping[str, Any]) -> Figure | None:
    """Gain of the headline's arm over the control."""
    arm, against = (summary.get("headline") or {}).get("arm"), gains.control(summary)
    if arm not in summary["arms"] or against is None or arm == against:
        return None
    return figure(lambda width: dots.gain_dots(summary, str(arm), against, width))


def by_arm(summary: Mapping[str, Any]) -> Figure | None:
    """Every arm over the control."""
    against = gains.control(summary)
    if against is None or strips.arm_strips(summary, against) is None:
        return None
    return figure(lambda width: strips.arm_strips(summary, against, width) or Scene(width, 0, ""))


def forgetting(summary: Mapping[str, Any]) -> dict[str, Figure]:
    """Allocation -> heat map of each expert on each language."""

    def one(name: str) -> Figure:
        return figure(lambda width: heat.forgetting(summary, name, width))

    return {name: one(name) for name in arms.allocations(summary) if name in summary["matrix"]}


def teams(files: RunFiles) -> dict[str, Figure]:
    """Allocation -> its tree where it has one, else which part of each language went where."""

    def one(name: str) -> Figure:
        text, about = files.tree(name), files.summary["allocations"][name]
        if text is not None:
            root = newick.parse(text)
            return figure(lambda width: tree.tree(root, about["owner"], width))
        return figure(lambda width: heat.shares(files.summary, name, width))

    return {name: one(name) for name in arms.allocations(files.summary)}


def training(files: RunFiles) -> Figure | None:
    """Training loss of dense, its matched controls and every team."""
    found = list(_loss_curves(files))
    if not found:
        return None
    title = "Training loss of every arm over the tokens of its budget"
    return figure(lambda width: curves.curves(found, title, "nats a token, training text", width))


def seed(files: RunFiles) -> Figure | None:
    """The seed's curve on dev, when it was trained here and looked at dev: is it flat?"""
    points = files.dev_curve("seed")
    if len(points) < 2:
        return None
    found = [Curve("seed", tuple(points), "ink")]
    title = "Bits per byte of the seed on dev while it was trained"
    return figure(lambda width: curves.curves(found, title, "bits per byte on dev", width))


def _loss_curves(files: RunFiles) -> Iterator[Curve]:
    names = arms.allocations(files.summary)
    controls = ["dense", *(f"{arms.MATCHED}/{name}" for name in names)]
    for control in controls:
        points = files.curve(control)
        if len(points) > 1:
            arm = arms.parse(control)
            yield _smooth(control, points, arms.colour(arm, names), arm.kind == arms.MATCHED)
    for name in names:
        members = [
            points for job in jobs_of(name, files.ledgers) if len(points := files.curve(job)) > 1
        ]
        if members:
            colour = arms.colour(arms.parse(f"{name}/own"), names)
            points = curves.team_mean([_smoothed(member) for member in members])
            yield Curve(f"{name}, mean of {len(members)} experts", tuple(points), colour)


def _smooth(name: str, points: Sequence[tuple[float, float]], colour: str, dashed: bool) -> Curve:
    return Curve(name, tuple(_smoothed(points)), colour, dashed)


def _smoothed(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    values = curves.smoothed([value for _, value in points])
    return [(tokens, value) for (tokens, _), value in zip(points, values, strict=True)]
