"""Recipes: every mistake is one line with the key and the nearest valid one."""

from pathlib import Path

import pytest

from xelm.config import Recipe, load, validate
from xelm.errors import UserError
from xelm.recipes import find, names

GOOD = {
    "name": "trial",
    "corpus": {"train": "sample"},
    "seed": {"folder": "sample"},
    "allocations": {"typology-8": {"method": "typology", "k": 8}},
    "training": {"tokens": 1000},
}


def _error(**changes: object) -> str:
    with pytest.raises(UserError) as error:
        validate({**GOOD, **changes}, "r.yaml")
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", names())
def test_recipes_that_come_with_it_are_valid(name: str) -> None:
    assert isinstance(load(find(name)), Recipe)


def test_overrides_are_yaml(tmp_path: Path) -> None:
    recipe = load(find("demo"), ["training.tokens=5000", "training.arms.dense.batch=4"])
    assert recipe.training.tokens == 5000
    assert recipe.training.of("dense").batch == 4


def test_a_misspelt_key_names_the_nearest() -> None:
    assert "did you mean `tokens`?" in _error(training={"tokns": 3})
    assert "unknown key `alocations`; did you mean `allocations`?" in _error(alocations={})
    message = _error(allocations={"typology-8": {"method": "typology", "kk": 8}})
    assert "allocations.typology-8" in message


def test_a_misspelt_setting_of_an_arm() -> None:
    message = _error(training={"tokens": 10, "arms": {"dense": {"learning_rat": 1}}})
    assert "learning_rat" in message and "did you mean `learning_rate`?" in message


def test_an_arm_that_does_not_exist() -> None:
    message = _error(training={"tokens": 10, "arms": {"typology": {"batch": 1}}})
    assert "no arm `typology`; did you mean `typology-8`?" in message
    assert "names no allocation" in _error(controls=["dense-matched/tfidf-8"])


def test_settings_of_an_expert() -> None:
    def error(steps: str | None = None, **settings: object) -> str:
        return _error(training={"tokens": 10, "steps": steps, "arms": settings})

    assert "no arm `typlogy-8/ru`" in error(**{"typlogy-8/ru": {"batch": 1}})
    assert "arm typology-8/ru: unknown key `batsh`" in error(**{"typology-8/ru": {"batsh": 1}})
    message = error("published", **{"typology-8/ru": {"batch": 1}})
    assert "a batch for `typology-8/ru` alone" in message and "published" in message


def test_experts_that_choose_cannot_share_a_batch() -> None:
    grid = {"batch": [8], "learning_rate": [1e-3], "choose": "expert"}
    message = _error(training={"tokens": 10, "steps": "published"}, sweep=grid)
    assert "sweep.choose: expert" in message and "published" in message


def test_a_seed_has_one_source() -> None:
    assert "either `folder` or `size`" in _error(seed={})
    assert "needs `tokens`" in _error(seed={"size": "2m"})


def test_broken_yaml_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("name: a\ncorpus: {train: [\nseed: }\n")
    with pytest.raises(UserError, match=r"r\.yaml:3: not valid YAML"):
        load(path)


def test_a_missing_recipe_names_what_there_is() -> None:
    with pytest.raises(UserError, match="did you mean demo"):
        find("dem")


@pytest.mark.parametrize("override", ["tokens", "=3", "name.x=3"])
def test_a_bad_override(override: str) -> None:
    with pytest.raises(UserError, match="--set"):
        load(find("demo"), [override])


@pytest.mark.parametrize("name", names())
def test_a_resolved_recipe_reads_as_itself(name: str) -> None:
    """What run.yaml holds (every default written out) is the same recipe."""
    recipe = load(find(name))
    assert validate(recipe.model_dump(mode="json"), "run.yaml") == recipe
