"""Colours by what they mean, in a light and a dark set, so that a picture never names a colour.

The hues of `series-*` stay apart for readers with a colour deficiency when taken in order; shapes
say the same thing a second time wherever two arms share a picture. `better`, `worse` and `part` are
the full cells of heat maps, under ink.
"""

LIGHT = {
    "paper": "#fdfcf9",
    "panel": "#f4f1ea",
    "ink": "#1d1c1a",
    "muted": "#67635b",
    "faint": "#d9d4c8",
    "accent": "#0b6e69",
    "better": "#1f7fa6",
    "worse": "#d0612a",
    "part": "#0b7a75",
    "mark": "#fbe9a9",
    "series-1": "#0b7a75",
    "series-2": "#c4501b",
    "series-3": "#6a4fb3",
    "series-4": "#9a7400",
    "series-5": "#b7336f",
    "series-6": "#2a66c8",
    "series-7": "#56751a",
    "series-8": "#6b6f78",
}
DARK = {
    "paper": "#16171a",
    "panel": "#202226",
    "ink": "#ecebe6",
    "muted": "#a09d95",
    "faint": "#3a3c41",
    "accent": "#4fc4bb",
    "better": "#358db8",
    "worse": "#d8743c",
    "part": "#2b948c",
    "mark": "#4d4520",
    "series-1": "#3dbfb6",
    "series-2": "#f08a4f",
    "series-3": "#ab93ee",
    "series-4": "#d9b13b",
    "series-5": "#ea7bab",
    "series-6": "#7aa9f4",
    "series-7": "#a3c655",
    "series-8": "#a3a8b3",
}
SERIES = tuple(f"series-{number}" for number in range(1, 9))


def series(number: int) -> str:
    """The role of the n-th series; after eight they begin again."""
    return SERIES[number % len(SERIES)]


def css(selector: str) -> str:
    """Both sets as CSS custom properties; the reader's system chooses."""
    return (
        f"{selector}{{color-scheme:light dark;{_properties(LIGHT)}}}"
        f"@media(prefers-color-scheme:dark){{{selector}{{{_properties(DARK)}}}}}"
    )


def _properties(colours: dict[str, str]) -> str:
    return "".join(f"--{role}:{value};" for role, value in colours.items())
