"""Recipes that come with xelm: in `recipes/` of a checkout, `xelm/recipes/` of a wheel."""

import difflib
from pathlib import Path

from xelm.errors import UserError

_HERE = Path(__file__).parent
_PLACES = (_HERE / "recipes", _HERE.parents[1] / "recipes")


def names() -> list[str]:
    """Names of the recipes that come with xelm."""
    return sorted({path.stem for place in _PLACES for path in place.glob("*.yaml")})


def find(name: str) -> Path:
    """The file of a recipe given as a path or by its name.

    Raises:
        UserError: there is none; the message names the nearest.
    """
    if Path(name).is_file():
        return Path(name)
    for place in _PLACES:
        if (place / f"{name}.yaml").is_file():
            return place / f"{name}.yaml"
    close = difflib.get_close_matches(Path(name).stem, names(), n=1)
    hint = f"did you mean {close[0]}?" if close else f"xelm comes with {', '.join(names())}"
    raise UserError(f"{name}: no such recipe; {hint}")
