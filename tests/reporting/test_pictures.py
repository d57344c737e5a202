"""Scenes: what is drawn stands where its value says, and every picture is valid in both formats."""

import io
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from xelm.errors import UserError
from xelm.reporting import colours, newick, plots, raster, svg
from xelm.reporting.drawing import Box, Dot, Label, Line, Scene
from xelm.reporting.gains import Gain
from xelm.reporting.pictures import curves, dots, heat, strips, tree, trend
from xelm.reporting.scale import Scale, around, short, signed

WIDTHS = (352.0, 760.0)


def inside(scene: Scene) -> None:
    """Every mark lies on the canvas (text by its anchor, with its estimated width)."""
    from xelm.reporting.drawing import text_width

    for mark in scene.marks:
        if isinstance(mark, Label):
            wide = text_width(mark.text, mark.size)
            left = mark.x - {"start": 0, "middle": wide / 2, "end": wide}[mark.anchor]
            assert left > -8, mark
            assert left + wide < scene.width + 8, mark
            ys = [mark.y]
        elif isinstance(mark, Line):
            assert all(-0.5 <= x <= scene.width + 0.5 for x, _ in mark.points), mark
            ys = [y for _, y in mark.points]
        elif isinstance(mark, Box):
            assert -0.5 <= mark.x <= mark.x + mark.width <= scene.width + 0.5, mark
            ys = [mark.y, mark.y + mark.height]
        else:
            assert -0.5 <= mark.x <= scene.width + 0.5, mark
            ys = [mark.y]
        assert all(-8 <= y <= scene.height + 0.5 for y in ys), mark


def well_formed(scene: Scene) -> None:
    for text in (svg.inline(scene), svg.standalone(scene)):
        root = ElementTree.fromstring(text)
        assert root.attrib["aria-label"]
        assert not re.search(r"\b(nan|inf)\b", text)


@pytest.mark.parametrize("width", WIDTHS)
def test_gain_dots_stand_at_their_gains(summary: dict[str, Any], width: float) -> None:
    scene = dots.gain_dots(summary, "typology-8/own", "dense", width)
    inside(scene)
    well_formed(scene)
    ours, dense = (summary["arms"][a]["bits_per_byte"] for a in ("typology-8/own", "dense"))
    gain = {c: 100 * (dense[c] - ours[c]) / dense[c] for c in ours}
    full = [m for m in scene.marks if isinstance(m, Dot) and m.filled and m.size == 5.5]
    assert len(full) == 17  # the mean and sixteen languages
    by_height = sorted(full, key=lambda dot: dot.y)[1:]
    ranked = sorted(gain.values(), reverse=True)
    xs = [dot.x for dot in by_height]
    slope = (xs[-1] - xs[0]) / (ranked[-1] - ranked[0])
    for x, value in zip(xs, ranked, strict=True):
        assert x == pytest.approx(xs[0] + slope * (value - ranked[0]), abs=1e-6)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("languages", [("en",), ("en", "ru", "zh"), None])
def test_every_picture_fits_its_canvas(
    summary_of: Callable[..., dict[str, Any]], width: float, languages: tuple[str, ...] | None
) -> None:
    summary = summary_of(languages) if languages else summary_of()
    scenes = [
        strips.arm_strips(summary, "dense", width),
        heat.forgetting(summary, "typology-8", width),
        heat.forgetting(summary, "tfidf-8", width),
        heat.shares(summary, "tfidf-8", width),
        dots.gain_dots(summary, "tfidf-8/mixture", "seed", width),
    ]
    for scene in scenes:
        assert scene is not None
        inside(scene)
        well_formed(scene)


def test_heat_map_frames_what_an_expert_owns(summary: dict[str, Any]) -> None:
    scene = heat.forgetting(summary, "typology-8")
    frames = [mark for mark in scene.marks if isinstance(mark, Box) and mark.outline]
    assert len(frames) == 16
    blue = [m for m in scene.marks if isinstance(m, Box) and m.colour == "better"]
    assert {(f.x, f.y) for f in frames} == {(b.x, b.y) for b in blue}


def test_a_hundred_languages_become_rows(summary: dict[str, Any]) -> None:
    matrix = summary["matrix"]["tfidf-8"]
    for row in (*matrix["bits_per_byte"].values(), matrix["seed"]):
        row.update({f"x{n:02d}": 2.0 for n in range(84)})
    scene = heat.forgetting(summary, "tfidf-8")
    inside(scene)
    assert scene.height > 100 * 18


def test_forgetting_figures_are_percent_against_the_seed(summary: dict[str, Any]) -> None:
    matrix = summary["matrix"]["typology-8"]
    value = 100 * (matrix["bits_per_byte"]["en-es"]["zh"] / matrix["seed"]["zh"] - 1)
    scene = heat.forgetting(summary, "typology-8")
    hints = [m.hint for m in scene.marks if isinstance(m, Box)]
    assert any(h.startswith(f"en-es on Chinese: {signed(value, 2)} %") for h in hints)


@pytest.mark.parametrize("width", WIDTHS)
def test_tree_puts_the_root_at_its_depth(width: float) -> None:
    root = newick.parse("((en:0.15,es:0.15):0.1,'ru':0.25);")
    scene = tree.tree(root, {"en": "en-es", "es": "en-es", "ru": "ru"}, width)
    inside(scene)
    well_formed(scene)
    coloured = {m.colour for m in scene.marks if isinstance(m, Line)}
    assert {"series-1", "series-2"} <= coloured
    labels = [m.text for m in scene.marks if isinstance(m, Label)]
    assert [t for t in labels if t in {"English", "Spanish", "Russian"}] == [
        "English",
        "Spanish",
        "Russian",
    ]


def test_newick_reads_names_lengths_and_quotes() -> None:
    root = newick.parse(" ( a:1.5 , (b:2,'c d':1e-1)x:.5 ) ; ")
    assert [leaf.name for leaf in root.leaves()] == ["a", "b", "c d"]
    assert root.depth() == 2.5
    assert root.children[1].name == "x"


@pytest.mark.parametrize("text", ["", "(a,b", "(a:x,b:1);", "(a,b));", ";", "(,);"])
def test_newick_refuses_what_is_no_tree(text: str) -> None:
    with pytest.raises(UserError):
        newick.parse(text)


def test_trend_and_curves(tmp_path: Path) -> None:
    points = [(1e6, Gain(-0.5, -0.9, -0.1)), (2e7, Gain(2.5, 2.0, 3.0)), (6e7, Gain(3.1))]
    for width in WIDTHS:
        scene = trend.trend({"typology-8": points}, "tokens of the seed", width=width)
        inside(scene)
        well_formed(scene)
        up = [m.y for m in scene.marks if isinstance(m, Dot) and m.hint]
        assert up == sorted(up, reverse=True)
        line = curves.Curve("dense", ((0.0, 4.0), (10.0, 3.5), (20.0, 3.2)), "ink")
        scene = curves.curves([line], "loss", "nats", width)
        inside(scene)
        well_formed(scene)
    plots.gain_against({"a & <b>": points}, "k", tmp_path / "trend.svg", log=False)
    ElementTree.parse(tmp_path / "trend.svg")


def test_team_mean_is_taken_at_equal_parts_of_the_budget() -> None:
    short_one = [(0.0, 4.0), (10.0, 2.0)]
    long_one = [(0.0, 4.0), (30.0, 0.0)]
    found = curves.team_mean([short_one, long_one], points=5)
    assert found == [(0.0, 4.0), (10.0, 3.25), (20.0, 2.5), (30.0, 1.75), (40.0, 1.0)]


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=60), st.floats(0.01, 1))
def test_smoothing_stays_within_the_values(values: list[float], share: float) -> None:
    found = curves.smoothed(values, share)
    assert len(found) == len(values)
    assert all(min(values) - 1e-9 <= value <= max(values) + 1e-9 for value in found)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(2, 9))
def test_ticks_lie_inside_and_are_even(low: float, width: float, count: int) -> None:
    scale = Scale(low, low + width, 0, 100)
    ticks = scale.ticks(count)
    assert 1 <= len(ticks) <= count + 1
    assert all(low - 1e-6 * width <= t <= low + width * (1 + 1e-6) for t in ticks)
    steps = [b - a for a, b in pairwise(ticks)]
    assert all(step == pytest.approx(steps[0], rel=1e-3) for step in steps)


@given(st.floats(1e-3, 1e9), st.floats(1.5, 1e6))
def test_logarithmic_ticks(low: float, ratio: float) -> None:
    scale = Scale(low, low * ratio, 0, 100, log=True)
    assert all(-0.01 <= scale(tick) <= 100.01 for tick in scale.ticks(5))
    assert len(scale.ticks(5)) <= 12


def test_numbers_are_written_short() -> None:
    assert [short(x) for x in (4e6, 399_872, 12, 0.5, -2500)] == [
        "4M",
        "400k",
        "12",
        "0.5",
        "−2.5k",
    ]
    assert [signed(x) for x in (-2.34, 0.7, 0.04, -0.04)] == ["−2.3", "+0.7", "0.0", "0.0"]
    assert around([]) == (0.0, 1.0)


def test_every_tick_has_a_figure_of_its_own(summary: dict[str, Any]) -> None:
    for about in summary["arms"].values():  # small gains: ticks at half percents
        dense = summary["arms"]["dense"]["bits_per_byte"]
        for code, value in about["bits_per_byte"].items():
            about["bits_per_byte"][code] = dense[code] + (value - dense[code]) / 12
    for width in WIDTHS:
        scene = strips.arm_strips(summary, "dense", width)
        assert scene is not None
        ticks = [m.text for m in scene.marks if isinstance(m, Label) and m.size == 11.5]
        assert len(ticks) == len(set(ticks)) > 2


def test_both_formats_show_the_same_marks(tmp_path: Path, summary: dict[str, Any]) -> None:
    plots.gain_by_language(summary, tmp_path / "a.svg")
    plots.gain_by_language(summary, tmp_path / "a.png")
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    with Image.open(tmp_path / "a.png") as image:
        assert image.width == round(2 * float(root.attrib["width"]))
        assert image.height == pytest.approx(2 * float(root.attrib["height"]), abs=2)


def test_png_paints_a_mark_where_svg_does() -> None:
    scene = Scene(100, 60, "one dot", [Dot(70, 20, "circle", "accent", 8)])
    with Image.open(io.BytesIO(raster.png(scene, scale=1.0))) as image:
        rgb = image.convert("RGB")
        wanted = tuple(int(colours.LIGHT["accent"][i : i + 2], 16) for i in (1, 3, 5))
        assert rgb.getpixel((70, 20)) == wanted
        assert rgb.getpixel((20, 50)) != wanted


def test_pictures_for_documents_are_reproducible(tmp_path: Path, summary: dict[str, Any]) -> None:
    for name in ("a", "b"):
        plots.gain_by_arm(summary, tmp_path / f"{name}.svg")
        plots.forgetting(summary, "typology-8", tmp_path / f"{name}.png")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_points_of_a_trend_come_from_summaries(summary_of: Callable[..., dict[str, Any]]) -> None:
    runs = {4e6: summary_of(better=0.03), 1e6: summary_of(better=-0.02)}
    found = plots.points(runs, "typology-8/own")
    assert [value for value, _ in found] == [1e6, 4e6]
    assert found[0][1].percent < 0 < found[1][1].percent


def test_mistakes_are_told(tmp_path: Path, summary: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"\.svg or \.png"):
        plots.gain_by_language(summary, tmp_path / "a.gif")
    with pytest.raises(UserError, match="it has: typology-8, tfidf-8"):
        plots.forgetting(summary, "typolgy-8", tmp_path / "a.svg")
    with pytest.raises(UserError, match="no such arms"):
        plots.gain_by_language(summary, tmp_path / "a.svg", arm="sparse")


def contrast(one: str, other: str) -> float:
    """WCAG 2 contrast ratio of two #rrggbb colours."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("palette", [colours.LIGHT, colours.DARK])
def test_colours_can_be_read(palette: dict[str, str]) -> None:
    for role in ("ink", "muted", "accent"):
        assert contrast(palette[role], palette["paper"]) >= 4.5, role
    for role in colours.SERIES:
        assert contrast(palette[role], palette["paper"]) >= 3, role
    for role in ("better", "worse", "part"):  # ink on the strongest cell of a heat map
        cell = mixed(palette[role], palette["paper"], heat._STRONGEST)
        assert contrast(palette["ink"], cell) >= 4.5, role
    assert contrast(palette["ink"], palette["mark"]) >= 4.5


def mixed(colour: str, paper: str, opacity: float) -> str:
    parts = [
        round(int(colour[i : i + 2], 16) * opacity + int(paper[i : i + 2], 16) * (1 - opacity))
        for i in (1, 3, 5)
    ]
    return "#" + "".join(f"{part:02x}" for part in parts)
