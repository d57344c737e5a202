"""Routers that do not read: the same weights for every prefix.

`language` (the experts that own a known language), `uniform` (all alike) and `fixed` (given).
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch

from xelm.ensemble.routers.base import Router
from xelm.errors import UserError


class Uniform(Router):
    """Every expert alike."""

    kind: ClassVar[str] = "uniform"


class Fixed(Router):
    """Weights given by hand, by expert name; experts not named get none."""

    kind: ClassVar[str] = "fixed"

    def __init__(self, experts: Sequence[str], weights: Mapping[str, float]) -> None:
        for name in weights:
            if name not in experts:
                raise UserError(
                    f"router.weights: no expert {name!r}; there are {', '.join(experts)}"
                )
        values = [float(weights.get(name, 0.0)) for name in experts]
        if min(values) < 0 or sum(values) <= 0:
            raise UserError("router.weights: must not be negative, and one must be above zero")
        super().__init__(experts, torch.tensor(values, dtype=torch.float64))


class Language(Fixed):
    """The expert with most of a known language's tokens.

    Args:
        languages: language -> expert -> tokens.
        language: the one that is known.
    """

    kind: ClassVar[str] = "language"

    def __init__(
        self, experts: Sequence[str], languages: Mapping[str, Mapping[str, int]], language: str
    ) -> None:
        super().__init__(experts, {owner(languages, language): 1.0})


def owner(languages: Mapping[str, Mapping[str, int]], language: str) -> str:
    """The expert that owns a language; UserError naming those that are owned."""
    if not languages.get(language):
        known = ", ".join(sorted(languages))
        raise UserError(f"language {language!r}: no expert owns it; this bundle has {known}")
    tokens = languages[language]
    return max(sorted(tokens), key=lambda expert: tokens[expert])
