"""Syntactic features of languages: the tables of URIEL, as the package lang2vec carries them.

The table files are read directly. Importing lang2vec itself takes over a second, prints a warning
about pkg_resources, and offers nothing for these sets beyond reading the same arrays.
Feature set: `syntax_average`, 103 values in [0, 1] per language (averages over sources); NaN where
no source knows.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xelm.errors import UserError

Features = NDArray[np.float64]
"""One language, [features]; or several, [languages, features]. NaN: unknown."""


@dataclass(frozen=True)
class FeatureTable:
    """All languages of the database."""

    names: tuple[str, ...]
    """The features, e.g. `S_SVO`."""
    rows: dict[str, int]
    """ISO 639-3 code -> row."""
    values: Features
    """[languages, features]"""

    def row(self, code: str) -> Features | None:
        """Features of an ISO 639-3 code; None if the table has none of them."""
        if code not in self.rows:
            return None
        row: Features = self.values[self.rows[code]]
        return row if np.isfinite(row).any() else None

    def known(self, code: str) -> int:
        """How many features of a code are known."""
        return int(np.isfinite(self.values[self.rows[code]]).sum()) if code in self.rows else 0


@lru_cache(maxsize=1)
def syntax() -> FeatureTable:
    """The syntactic table, read once."""
    arrays = _read("feature_averages.npz")
    chosen = np.char.startswith(arrays["feats"], "S_")
    values = arrays["data"][:, chosen, 0].astype(np.float64)
    values[values < 0] = np.nan  # the table writes -1 for unknown
    codes = {str(code): row for row, code in enumerate(arrays["langs"])}
    return FeatureTable(tuple(str(name) for name in arrays["feats"][chosen]), codes, values)


@lru_cache(maxsize=1)
def families() -> tuple[dict[str, int], tuple[str, ...], NDArray[np.bool_]]:
    """Rows by ISO 639-3 code, names of families and subfamilies, membership [languages, families].

    A second of reading: for languages without features only.
    """
    arrays = _read("family_features.npz")
    codes = {str(code): row for row, code in enumerate(arrays["langs"])}
    names = tuple(str(name).removeprefix("F_") for name in arrays["feats"])
    return codes, names, arrays["data"][:, :, 0] > 0


def _read(name: str) -> dict[str, NDArray[Any]]:
    from importlib.metadata import PackageNotFoundError, distribution

    # Not by import: lang2vec also installs a script bin/lang2vec.py, which hides the package from
    # every program started out of that folder, `xelm` included.
    try:
        path = Path(str(distribution("lang2vec").locate_file(f"lang2vec/data/{name}")))
    except PackageNotFoundError:
        raise UserError("typology: lang2vec is missing; pip install lang2vec") from None
    if not path.is_file():
        raise UserError(f"{path}: missing; install lang2vec again")
    with np.load(path, allow_pickle=False) as arrays:
        return {key: arrays[key] for key in arrays.files}
