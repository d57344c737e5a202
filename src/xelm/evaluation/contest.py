"""Who is compared with whom: the arms of a run and the models behind each of them.

Evaluation knows neither recipes nor jobs, only folders: `models/dense`, `models/<allocation>/
<expert>`, and the same under `orders/<n>/` for every data order but the first.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel

from xelm.corpus.shards import TokenShards
from xelm.errors import UserError
from xelm.evaluation.settings import EvaluationSettings, Reading
from xelm.storage import atomic, fingerprint, manifest

SEED, DENSE, MATCHED = "seed", "dense", "dense-matched/"
OWN, TOP1, MIXTURE = "/own", "/top1", "/mixture"


class Launching(Protocol):
    """The part of a recipe's `launching:` that matters here."""

    @property
    def device(self) -> str: ...


class Asked(Protocol):
    """What evaluation asks of a recipe."""

    @property
    def name(self) -> str: ...
    @property
    def controls(self) -> Sequence[str]: ...
    @property
    def allocations(self) -> Mapping[str, Any]: ...
    @property
    def orders(self) -> Sequence[int]: ...
    @property
    def evaluation(self) -> BaseModel: ...
    @property
    def launching(self) -> Launching: ...


@dataclass(frozen=True)
class Team:
    """One allocation, as `allocations/<name>/allocation.json` has it."""

    name: str
    method: str
    experts: dict[str, dict[str, int]]
    """expert -> language -> tokens of its share."""
    owner: dict[str, str]
    """language -> the expert with most of its tokens."""
    measured: dict[str, Any]
    """What else allocation.json says, such as the tree."""


@dataclass(frozen=True)
class Contest:
    """The arms of one run."""

    run: Path
    name: str
    controls: tuple[str, ...]
    """`dense` and `dense-matched/<allocation>`."""
    allocations: tuple[str, ...]
    orders: tuple[int, ...] = (0,)
    settings: EvaluationSettings = field(default_factory=EvaluationSettings)
    device: str = "cpu"

    @classmethod
    def of(cls, run: Path, recipe: Asked) -> "Contest":
        """The contest that a recipe asks for, in its run folder."""
        return cls(
            Path(run),
            recipe.name,
            tuple(recipe.controls),
            tuple(recipe.allocations),
            tuple(recipe.orders),
            EvaluationSettings.model_validate(recipe.evaluation.model_dump()),
            recipe.launching.device,
        )

    @property
    def reading(self) -> Reading:
        """How its models are run to be scored."""
        return self.settings.reading(self.device)

    @cached_property
    def teams(self) -> dict[str, Team]:
        """All allocations."""
        return {name: _team(self.run, name) for name in self.allocations}

    @cached_property
    def heldout(self) -> TokenShards:
        """The text that is reported on."""
        return TokenShards(self.run / "corpus", "heldout")

    @cached_property
    def languages(self) -> list[str]:
        """The held-out languages."""
        return self.heldout.languages

    def single_arms(self) -> list[str]:
        """Arms in which one known model answers for a language: seed, controls, own experts."""
        return [SEED, *self.controls, *(name + OWN for name in self.allocations)]

    def own_orders(self, arm: str) -> tuple[int, ...]:
        """The data orders of a single arm; the seed has none of its own."""
        return self.orders[:1] if arm == SEED else self.orders

    def model(self, arm: str, language: str, order: int) -> str:
        """Name (folder in models/) of the model that answers for a language in a single arm.

        Raises:
            UserError: no expert owns the language.
        """
        if not arm.endswith(OWN):
            return SEED if arm == SEED else self.prefix(order) + arm
        team = self.teams[arm.removesuffix(OWN)]
        if language not in team.owner:
            raise UserError(
                f"allocations/{team.name}: no expert owns {language!r}, which the held-out text "
                "has; train on it, or leave it out with corpus.languages"
            )
        return self.expert(team.name, team.owner[language], order)

    def models(
        self, arm: str, order: int, languages: Iterable[str] | None = None
    ) -> dict[str, str]:
        """language -> model of a single arm (default: all held-out languages)."""
        return {one: self.model(arm, one, order) for one in languages or self.languages}

    def expert(self, allocation: str, expert: str, order: int | None = None) -> str:
        """Name of an expert's model (default: of the first order)."""
        prefix = self.prefix(self.orders[0] if order is None else order)
        return f"{prefix}{allocation}/{expert}"

    def prefix(self, order: int) -> str:
        """Where the models of a data order stand in models/."""
        return "" if order == self.orders[0] else f"orders/{order}/"

    def jobs(self, arm: str, order: int) -> list[str]:
        """All models that were trained for a control or an allocation."""
        if arm not in self.teams:
            return [self.prefix(order) + arm]
        return [self.expert(arm, expert, order) for expert in self.teams[arm].experts]

    def paid_for(self, arm: str, order: int) -> list[str]:
        """`jobs` and what they branched from down to the seed: what the budget bought."""
        found = dict.fromkeys(self.jobs(arm, order))
        for model in list(found):
            while (parent := _parent(self.run, model)) is not None and parent not in found:
                found[parent] = None
                model = parent
        return list(found)

    def trained(self) -> list[str]:
        """Every model of the contest."""
        arms = [*self.controls, *self.allocations]
        return [SEED, *(m for order in self.orders for arm in arms for m in self.jobs(arm, order))]

    def require_trained(self) -> None:
        """UserError naming the first models that are not there yet."""
        missing = [name for name in self.trained() if not is_there(self.run, name)]
        if missing:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise UserError(
                f"{self.run / 'models'}: {', '.join(missing[:3])}{more} not trained yet; "
                f"run `xelm train {self.run}` first"
            )


def _parent(run: Path, model: str) -> str | None:
    """The model that a model branched from; None for the seed's children."""
    parent = str(ledger(run, model).get("parent") or "").removeprefix("models/")
    return parent if parent and parent != SEED else None


def is_there(run: Path, model: str) -> bool:
    """Is a model finished? Its folder appears by rename, whole."""
    return (Path(run) / "models" / model / manifest.MANIFEST).is_file()


def fingerprint_of(run: Path, model: str) -> str:
    """The fingerprint of a finished model's folder."""
    return fingerprint.of_folder(Path(run) / "models" / model)


def ledger(run: Path, model: str) -> dict[str, Any]:
    """A model's ledger; {} for a seed that was not trained here."""
    path = Path(run) / "models" / model / "ledger.json"
    if model == SEED and not path.is_file():
        return {}
    value: dict[str, Any] = atomic.read_json(path)
    return value


def _team(run: Path, name: str) -> Team:
    path = run / "allocations" / name / "allocation.json"
    value = atomic.read_json(path)
    try:
        experts = {expert: dict(about["languages"]) for expert, about in value["experts"].items()}
        known = {"method", "settings", "k", "experts", "owner", "corpus"}
        measured = {key: entry for key, entry in value.items() if key not in known}
        return Team(name, value["method"], experts, dict(value["owner"]), measured)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not an allocation ({error!r}); run allocate again") from error
