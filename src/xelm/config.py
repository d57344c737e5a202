"""The recipe: one YAML file that says everything about a run, composed of each room's own settings.

`load` reads it, applies `--set a.b=c`, and answers every mistake in one line with the key, the file
and the nearest valid name, before anything heavy is imported.
"""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from xelm.allocation.settings import AllocationSettings
from xelm.corpus.settings import CorpusSettings
from xelm.errors import UserError
from xelm.evaluation.settings import EvaluationSettings
from xelm.growth.rounds import Round
from xelm.growth.rounds import check as check_rounds
from xelm.training.settings import ArmSettings


class Section(BaseModel):
    """A part of a recipe: unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SeedSettings(Section):
    """Where the seed comes from: a finished model (`folder`), or training from scratch (`size`)."""

    folder: str | None = None
    """A Hugging Face folder or hub id; `sample` is the small seed that comes with xelm."""
    size: str | None = None
    """`2m`, `12m`, `124m` ...: all parameters, embeddings included; derives width and depth."""
    tokens: int | None = Field(None, gt=0)
    """Budget of the seed when it is trained from scratch."""
    training: dict[str, Any] = {}
    """Settings of the seed's own training, over those of its size."""

    @model_validator(mode="after")
    def _one_source(self) -> "SeedSettings":
        if (self.folder is None) == (self.size is None):
            raise ValueError("give either `folder` or `size`")
        if self.size is not None and self.tokens is None:
            raise ValueError("a seed trained by `size` needs `tokens`")
        return self


class TrainingSettings(Section):
    """The budget, equal for every arm, and the settings of each arm."""

    tokens: int = Field(gt=0)
    """Budget of every arm: of dense, and of all experts of an allocation together."""
    steps: Literal["published"] | None = None
    """`published`: same number of steps in every arm, the global batch divided by k."""
    defaults: dict[str, Any] = {}
    """Settings of every arm (see training/settings.py) unless `arms` says otherwise."""
    arms: dict[str, dict[str, Any]] = {}
    """Settings by arm: `dense`, `dense-matched/<allocation>`, `<allocation>`; of one expert alone:
    `<allocation>/<expert>`."""

    def of(self, arm: str, expert: str | None = None) -> ArmSettings:
        """The settings of an arm or of one of its experts: the closest that says something."""
        own = self.arms.get(f"{arm}/{expert}", {}) if expert else {}
        return ArmSettings(**{**self.defaults, **self.arms.get(arm, {}), **own})


class SweepSettings(Section):
    """The same grid for every arm; the best of each on dev trains it."""

    batch: list[int] = Field(min_length=1)
    learning_rate: list[float] = Field(min_length=1)
    share: float = Field(1, gt=0, le=1)
    """Part of the budget each setting is given; a part finds what is best for a part."""
    search: Literal["full", "neighbours"] = "full"
    """`neighbours`: from the arm's own settings to the best beside them, until none is better."""
    choose: Literal["arm", "expert"] = "arm"
    """`expert`: every expert takes its own best, on dev of its own languages; a control is one."""


class LaunchingSettings(Section):
    """Where the work runs; changes no result."""

    workers: int | None = Field(None, gt=0)
    """Worker processes; None is one a core, or one a GPU."""
    device: str = "cpu"
    """`cpu` or `cuda`."""


class Recipe(Section):
    """Everything about one run."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    corpus: CorpusSettings
    seed: SeedSettings
    allocations: dict[str, AllocationSettings] = {}
    """Arms of experts by name; the name stands in folders, tables and arms."""
    rounds: dict[str, list[Round]] = {}
    """Allocations whose experts are reached in rounds of branching (growth/rounds.py)."""
    controls: list[str] = ["dense"]
    """`dense`, and `dense-matched/<allocation>` for any allocation."""
    training: TrainingSettings
    orders: list[int] = Field([0], min_length=1)
    """Data orders; the first is the one that bundles are made of."""
    sweep: SweepSettings | None = None
    evaluation: EvaluationSettings = EvaluationSettings()
    launching: LaunchingSettings = LaunchingSettings()

    @model_validator(mode="after")
    def _arms_exist(self) -> "Recipe":
        known = self.arms()
        for control in self.controls:
            name = control.removeprefix("dense-matched/")
            if control != "dense" and (name == control or name not in self.allocations):
                raise ValueError(
                    f"controls: `{control}` names no allocation{_nearest(name, known)}"
                )
        for name, rounds in self.rounds.items():
            if name not in self.allocations:
                near = _nearest(name, list(self.allocations))
                raise ValueError(f"rounds: `{name}` names no allocation{near}")
            check_rounds(name, rounds)
        if len(set(self.orders)) != len(self.orders):
            raise ValueError("orders: each order once")
        of_experts = [name for name in self.training.arms if name not in known]
        for name in of_experts:
            self._check_expert(name)
        for name in [*known, *of_experts]:
            self._check_settings(name)
        if self.sweep is not None and self.sweep.choose == "expert":
            self._require_own_steps("sweep.choose: expert")
        return self

    def _check_expert(self, name: str) -> None:
        """Is it `<allocation>/<expert>`? Which experts there are is known once it is allocated."""
        allocation = name.rpartition("/")[0]
        if allocation not in self.allocations:
            raise ValueError(f"training.arms: no arm `{name}`{_nearest(name, self.arms())}")
        if allocation in self.rounds:
            raise ValueError(
                f"training.arms: `{name}` is reached in rounds, which train all experts alike; "
                f"give its settings to `{allocation}` or to a round"
            )
        if "batch" in self.training.arms[name]:
            self._require_own_steps(f"training.arms: a batch for `{name}` alone")

    def _require_own_steps(self, what: str) -> None:
        if self.training.steps == "published":
            raise ValueError(
                f"{what} is not for `training.steps: published`, which divides one batch among "
                "all experts"
            )

    def _check_settings(self, name: str) -> None:
        """Are the settings of an arm or expert valid, and on the grid where a search begins?"""
        arm, _, expert = (name, "", "") if name in self.arms() else name.rpartition("/")
        try:
            own = self.training.of(arm, expert)
        except ValidationError as error:
            raise ValueError(f"training, arm {name}: {explain(error, ArmSettings)}") from None
        if self.sweep is None or self.sweep.search == "full":
            return
        for key in ("batch", "learning_rate"):
            if getattr(own, key) not in getattr(self.sweep, key):
                raise ValueError(
                    f"sweep.{key}: a search by neighbours starts at the arm's own settings; "
                    f"{getattr(own, key):g} of {name} is not in the grid"
                )

    def arms(self) -> list[str]:
        """All arms that are trained: controls first."""
        return [*self.controls, *self.allocations]

    def identity(self) -> dict[str, Any]:
        """What a run folder belongs to: everything but where the work runs."""
        return self.model_dump(mode="json", exclude={"launching"})


def load(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply `a.b=c` overrides (values are YAML).

    Raises:
        UserError: naming file, line or key, and the nearest valid key.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such recipe; `xelm demo` needs none, recipes/ has examples")
    values = _yaml(path.read_text(encoding="utf-8"), str(path))
    if not isinstance(values, dict):
        raise UserError(f"{path}: a recipe is a mapping of keys to values")
    for override in overrides:
        _set(values, override)
    return validate(values, str(path))


def validate(values: Mapping[str, Any], where: str) -> Recipe:
    """Build the recipe from plain values; `where` names the file in messages."""
    try:
        return Recipe.model_validate(dict(values))
    except ValidationError as error:
        raise UserError(f"{where}: {explain(error, Recipe)}") from None


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """All mistakes of a validation in one line; unknown keys with the nearest valid one."""
    parts = []
    for one in error.errors():
        key = ".".join(str(part) for part in one["loc"])
        if one["type"] == "extra_forbidden":
            parts.append(f"unknown key `{key}`{_nearest_key(one['loc'], model)}")
        elif one["type"] == "missing":
            parts.append(f"`{key}` is missing")
        else:
            message = one["msg"].removeprefix("Value error, ")
            parts.append(f"{key}: {message}" if key else message)
    return "; ".join(parts)


def _nearest_key(location: tuple[int | str, ...], model: type[BaseModel]) -> str:
    """The nearest field beside a misspelt one, found by walking the settings classes."""
    fields: Any = model
    for part in location[:-1]:
        fields = _step(fields, str(part))
    known = isinstance(fields, type) and issubclass(fields, BaseModel)
    names = list(fields.model_fields) if known else []
    return _nearest(str(location[-1]), names)


def _step(model: Any, part: str) -> Any:
    """The settings class under a field, through `dict[str, X]`, `list[X]` and `X | None`."""
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return model
    annotation = model.model_fields[part].annotation if part in model.model_fields else None
    while annotation is not None and not isinstance(annotation, type):
        inner = [a for a in getattr(annotation, "__args__", ()) if a not in (str, type(None))]
        annotation = inner[0] if inner else None
    return annotation


def _nearest(name: str, valid: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    return f"; did you mean `{close[0]}`?" if close else f"; valid: {', '.join(valid)}"


def _yaml(text: str, where: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise UserError(
            f"{where}{line}: not valid YAML: {getattr(error, 'problem', error)}"
        ) from None


def _set(values: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise UserError(f"--set {override}: write it as key.of.setting=value")
    *parents, last = key.split(".")
    for parent in parents:
        inner = values.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise UserError(f"--set {override}: `{parent}` holds a value, not settings")
        values = inner
    values[last] = _yaml(value, f"--set {key}")
