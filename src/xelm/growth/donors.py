"""From whom a new language should branch: what the trees of languages say, and what the text says.

Typology names the seen language nearest in syntax (the published choice). The text names the expert
that predicts a sample of it best. In trials the two disagreed where scripts differ, so both are
shown, and `auto` takes the text's word. How well an
expert predicts text that it never saw is not yet how well it learns it, so `auto` can also compare
after a short training of each candidate (a probe).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from xelm.ensemble.manifest import Manifest
from xelm.errors import UserError
from xelm.growth import measure
from xelm.growth.measure import Texts

SEED = "seed"


@dataclass(frozen=True)
class Candidate:
    """One model that a new expert could branch from."""

    name: str
    """An expert of the bundle, or `seed`."""
    folder: str
    languages: tuple[str, ...]
    bits_per_byte: float
    """Of the dev sample of the new text."""
    probed: float | None = None
    """The same after a short training on the new text, where that was asked for."""

    @property
    def figure(self) -> float:
        """What `auto` compares."""
        return self.bits_per_byte if self.probed is None else self.probed


@dataclass(frozen=True)
class Donors:
    """All candidates, and the languages of the bundle by distance."""

    language: str
    candidates: tuple[Candidate, ...]
    """Lowest bits per byte first."""
    nearest: tuple[tuple[str, float], ...]
    """(language, distance) by typology, nearest first; empty when it knows nothing of it."""
    note: str = ""
    """Why typology is silent, when it is."""

    def probed(self, figures: Mapping[str, float]) -> "Donors":
        """The same, ordered by figures after a short training."""
        found = [replace(each, probed=figures[each.name]) for each in self.candidates]
        return replace(self, candidates=_ordered(found))

    def typological(self) -> Candidate | None:
        """The expert of the nearest language: the published choice."""
        for language, _ in self.nearest:
            for candidate in self.candidates:
                if language in candidate.languages:
                    return candidate
        return None

    def choose(self, parent: str) -> Candidate:
        """The candidate called `parent`; `auto` is the lowest bits per byte.

        Raises:
            UserError: there is no such candidate; the message names those there are.
        """
        if parent == "auto":
            return self.candidates[0]
        for candidate in self.candidates:
            if candidate.name == parent:
                return candidate
        if parent == SEED:
            raise UserError("--parent seed: the seed is not here; give its folder with --seed")
        known = ", ".join(candidate.name for candidate in self.candidates)
        raise UserError(f"--parent {parent}: no such expert; there are auto, {known}")

    def language_of(self, parent: Candidate) -> str | None:
        """Which of the parent's languages is trained on beside the new one: the nearest it owns.

        For a parent without languages (the seed) the nearest of all.
        """
        own = [code for code, _ in self.nearest if code in parent.languages or parent.name == SEED]
        return own[0] if own else next(iter(parent.languages), None)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def rank(
    bundle: Path,
    manifest: Manifest,
    language: str,
    sample: Texts,
    *,
    seed: Path | None,
    context: int,
    owned: Sequence[str],
) -> Donors:
    """Measure every expert (and the seed) on the sample, and ask typology.

    Args:
        sample: dev documents of the new language.
        owned: languages that the bundle has.
    """
    models = {e.name: (bundle / e.folder, tuple(e.languages)) for e in manifest.experts}
    if seed is not None:
        models[SEED] = (seed, ())
    candidates = [
        Candidate(name, str(folder), languages, measure.of_model(folder, sample, context)[language])
        for name, (folder, languages) in models.items()
    ]
    nearest, note = by_typology(language, owned)
    return Donors(language, _ordered(candidates), nearest, note)


def _ordered(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    return tuple(sorted(candidates, key=lambda each: (each.figure, each.name)))


def by_typology(language: str, owned: Sequence[str]) -> tuple[tuple[tuple[str, float], ...], str]:
    """Seen languages by syntactic distance, and the reason when there are none."""
    from xelm.allocation.typology import nearest

    try:
        return tuple(nearest(language, sorted(owned))), ""
    except UserError as error:
        return (), str(error)
