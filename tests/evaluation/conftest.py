"""The tiny run, made once, scored once, and copied for tests that change it."""

import shutil
from pathlib import Path

import pytest
import torch
from tiny_run import Recipe, make, perform

from xelm.evaluation.contest import Contest

torch.set_num_threads(1)  # so small a model is slower with more


@pytest.fixture(scope="session")
def made_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As it stands after `assemble`."""
    return make(tmp_path_factory.mktemp("evaluated") / "run")


@pytest.fixture
def run(made_run: Path, tmp_path: Path) -> Path:
    """A fresh copy of the run."""
    return Path(shutil.copytree(made_run, tmp_path / "run"))


@pytest.fixture(scope="session")
def scored_run(made_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run with all scores; for tests that only read."""
    run = Path(shutil.copytree(made_run, tmp_path_factory.mktemp("scored") / "run"))
    perform(run, Recipe())
    return run


@pytest.fixture(scope="session")
def contest(scored_run: Path) -> Contest:
    """The contest of the scored run."""
    return Contest.of(scored_run, Recipe())
