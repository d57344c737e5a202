"""From recipe to jobs: budgets agree, dense-matched consumes what experts do, names are folders."""

from pathlib import Path
from typing import Any

import pytest

from xelm import plan
from xelm.config import Recipe, validate
from xelm.errors import UserError
from xelm.storage import atomic


def _recipe(**training: Any) -> Recipe:
    return validate(
        {
            "name": "trial",
            "corpus": {"train": "sample", "context": 100},
            "seed": {"folder": "sample"},
            "allocations": {"typology-3": {"method": "typology", "k": 3}},
            "controls": ["dense", "dense-matched/typology-3"],
            "training": {"tokens": 100_000, "defaults": {"batch": 6}, **training},
            "orders": [7, 8],
        },
        "trial.yaml",
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    experts = {
        "en-de": {"languages": {"en": 900, "de": 800}},
        "ru": {"languages": {"ru": 100}},
        "hi-zh-sw": {"languages": {"hi": 10, "zh": 10, "sw": 10}},
    }
    owner = {"en": "en-de", "de": "en-de", "ru": "ru", "hi": "hi-zh-sw", "zh": "hi-zh-sw"}
    value = {"experts": experts, "owner": owner}
    atomic.write_json(tmp_path / "allocations" / "typology-3" / "allocation.json", value)
    return tmp_path


def test_names_are_folders(run: Path) -> None:
    names = [job.name for job in plan.all_jobs(run, _recipe())]
    assert names == [
        "dense",
        "dense-matched/typology-3",
        "typology-3/en-de",
        "typology-3/hi-zh-sw",
        "typology-3/ru",
        "orders/8/dense",
        "orders/8/dense-matched/typology-3",
        "orders/8/typology-3/en-de",
        "orders/8/typology-3/hi-zh-sw",
        "orders/8/typology-3/ru",
    ]


@pytest.mark.parametrize("training", [{}, {"steps": "published"}])
def test_budgets_agree_exactly(run: Path, training: dict[str, Any]) -> None:
    jobs = {job.name: job for job in plan.all_jobs(run, _recipe(**training))}
    experts = [job for name, job in jobs.items() if name.startswith("typology-3/")]
    assert sum(job.windows for job in experts) == jobs["dense"].windows
    assert jobs["dense-matched/typology-3"].windows == jobs["dense"].windows
    assert max(j.windows for j in experts) - min(j.windows for j in experts) <= 1


def test_published_steps_divide_the_batch(run: Path) -> None:
    jobs = plan.all_jobs(run, _recipe(steps="published"))
    assert {job.settings.batch for job in jobs} == {6, 2}
    assert len({job.steps for job in jobs}) == 1


def test_a_batch_that_k_does_not_divide_is_an_error(run: Path) -> None:
    with pytest.raises(UserError, match=r"batch.*7.*3"):
        plan.all_jobs(run, _recipe(steps="published", defaults={"batch": 7}))


def test_dense_matched_reads_the_windows_of_the_experts(run: Path) -> None:
    jobs = {job.name: job for job in plan.all_jobs(run, _recipe())}
    experts = [job for name, job in jobs.items() if name.startswith("orders/8/typology-3/")]
    matched = jobs["orders/8/dense-matched/typology-3"]
    assert list(matched.sources) == [source for job in experts for source in job.sources]
    assert {source.order_seed for source in matched.sources} == {8}


@pytest.mark.parametrize("where", ["typology-3", "typology-3/ru"])
def test_dense_matched_follows_what_the_experts_are_told_to_read(run: Path, where: str) -> None:
    jobs = {job.name: job for job in plan.all_jobs(run, _recipe(arms={where: {"alpha": 0.5}}))}
    experts = [job for name, job in jobs.items() if name.startswith("typology-3/")]
    matched = jobs["dense-matched/typology-3"]
    assert list(matched.sources) == [source for job in experts for source in job.sources]
    assert 0.5 in {source.alpha for source in matched.sources}


def test_an_expert_may_have_settings_of_its_own(run: Path) -> None:
    arms = {"typology-3": {"batch": 12, "warmup": 0.1}, "typology-3/ru": {"batch": 3}}
    jobs = {job.name: job for job in plan.all_jobs(run, _recipe(arms=arms))}
    batches = {name: job.settings.batch for name, job in jobs.items() if "orders" not in name}
    assert batches == {
        "dense": 6,
        "dense-matched/typology-3": 6,
        "typology-3/en-de": 12,
        "typology-3/hi-zh-sw": 12,
        "typology-3/ru": 3,
    }
    ours = jobs["typology-3/ru"]
    assert ours.settings.warmup == 0.1
    assert ours.windows == jobs["orders/8/typology-3/ru"].windows
    experts = [job for name, job in jobs.items() if name.startswith("typology-3/")]
    assert sum(job.windows for job in experts) == jobs["dense"].windows


def test_settings_of_an_expert_that_is_not_there(run: Path) -> None:
    with pytest.raises(UserError, match=r"typology-3 has no expert `fr`; it has en-de, hi-zh-sw"):
        plan.all_jobs(run, _recipe(arms={"typology-3/fr": {"batch": 3}}))


def test_writing_again_leaves_files_alone(run: Path) -> None:
    jobs = plan.all_jobs(run, _recipe())
    plan.write(run, jobs)
    before = {p: p.stat().st_mtime_ns for p in run.glob("training/**/job.json")}
    plan.write(run, jobs)
    assert before == {p: p.stat().st_mtime_ns for p in run.glob("training/**/job.json")}
    assert len(before) == 10


def test_a_job_that_does_not_exist_names_the_nearest(run: Path) -> None:
    with pytest.raises(UserError, match="did you mean typology-3/en-de"):
        plan.select(plan.all_jobs(run, _recipe()), ["typology-3/en-dee"])


def test_allocations_come_first(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="xelm allocate"):
        plan.all_jobs(tmp_path, _recipe())
