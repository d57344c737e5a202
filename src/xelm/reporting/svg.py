"""Scenes as SVG: inside a page (its CSS gives the colours) or as a file that stands alone."""

from html import escape

from xelm.reporting import colours
from xelm.reporting.drawing import Box, Dot, Label, Line, Mark, Scene

_FONT = "system-ui,-apple-system,'Segoe UI','Noto Sans',sans-serif"


def inline(scene: Scene) -> str:
    """An <svg> element as wide as its place; colours are the page's custom properties."""
    return _element(scene, 'role="img"')


def standalone(scene: Scene) -> str:
    """An SVG file with its own colours and paper, light or dark as the reader's system is."""
    style = colours.css("svg") + f"svg{{background:var(--paper)}}text{{font-family:{_FONT}}}"
    paper = _box(Box(0, 0, scene.width, scene.height, "paper"))
    size = f'width="{_n(scene.width)}" height="{_n(scene.height)}" role="img"'
    return _element(scene, size, f"<style>{style}</style>{paper}") + "\n"


def _element(scene: Scene, attributes: str, before: str = "") -> str:
    box = f"0 0 {_n(scene.width)} {_n(scene.height)}"
    body = "\n".join(_mark(mark) for mark in scene.marks)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" {attributes} '
        f'aria-label="{escape(scene.title)}">{before}\n{body}\n</svg>'
    )


def _mark(mark: Mark) -> str:
    match mark:
        case Line():
            return _line(mark)
        case Box():
            return _box(mark)
        case Dot():
            return _dot(mark)
        case Label():
            return _label(mark)


def _line(line: Line) -> str:
    path = "M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in line.points)
    style = f"fill:none;stroke:var(--{line.colour});stroke-width:{_n(line.width)}"
    style += ";stroke-linejoin:round" + _opacity(line.opacity)
    style += ";stroke-dasharray:3 3" if line.dashed else ""
    return _close("path", f'd="{path}" style="{style}"', line.hint)


def _box(box: Box) -> str:
    fill = f"fill:var(--{box.colour})" if box.colour else "fill:none"
    if box.colour and box.opacity < 1:
        fill += f";fill-opacity:{_n(box.opacity)}"
    if box.outline:
        fill += f";stroke:var(--{box.outline});stroke-width:{_n(box.outline_width)}"
    place = f'x="{_n(box.x)}" y="{_n(box.y)}" width="{_n(box.width)}" height="{_n(box.height)}"'
    place += f' rx="{_n(box.radius)}"' if box.radius else ""
    return _close("rect", f'{place} style="{fill}"', box.hint)


def _dot(dot: Dot) -> str:
    fill = f"var(--{dot.colour if dot.filled else 'paper'})"
    style = f"fill:{fill};stroke:var(--{dot.colour});stroke-width:1.75{_opacity(dot.opacity)}"
    if dot.shape == "circle":
        place = f'cx="{_n(dot.x)}" cy="{_n(dot.y)}" r="{_n(dot.size)}"'
        return _close("circle", f'{place} style="{style}"', dot.hint)
    points = "L".join(f"{_n(x)} {_n(y)}" for x, y in outline(dot))
    end = "" if dot.shape == "tick" else "Z"
    return _close("path", f'd="M{points}{end}" style="{style}"', dot.hint)


def outline(dot: Dot) -> list[tuple[float, float]]:
    """Corners of a marker that is no circle."""
    x, y, s = dot.x, dot.y, dot.size
    return {
        "square": [(x - s, y - s), (x + s, y - s), (x + s, y + s), (x - s, y + s)],
        "diamond": [(x, y - 1.3 * s), (x + 1.3 * s, y), (x, y + 1.3 * s), (x - 1.3 * s, y)],
        "triangle": [(x, y - 1.2 * s), (x + 1.2 * s, y + s), (x - 1.2 * s, y + s)],
        "tick": [(x, y - s), (x, y + s)],
    }[dot.shape]


def _label(label: Label) -> str:
    style = f"fill:var(--{label.colour});font-size:{_n(label.size)}px"
    style += ";font-weight:600" if label.bold else ""
    place = f'x="{_n(label.x)}" y="{_n(label.y)}" text-anchor="{label.anchor}"'
    attributes = f'{place} dominant-baseline="central" style="{style}"'
    title = f"<title>{escape(label.hint)}</title>" if label.hint else ""
    return f"<text {attributes}>{title}{escape(label.text)}</text>"


def _close(name: str, attributes: str, hint: str) -> str:
    if not hint:
        return f"<{name} {attributes}/>"
    return f"<{name} {attributes}><title>{escape(hint)}</title></{name}>"


def _opacity(value: float) -> str:
    return f";opacity:{_n(value)}" if value < 1 else ""


def _n(value: float) -> str:
    """A number without needless digits."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
