"""Order of tasks."""

import pytest

from xelm.launching.task import Task, check, ready, run


def test_ready_gives_the_dearest_first_and_respects_dependencies() -> None:
    tasks = [Task("a", "m:f", cost=1), Task("b", "m:f", cost=5), Task("c", "m:f", after=("a",))]
    assert [t.name for t in ready(tasks, set(), set())] == ["b", "a"]
    assert [t.name for t in ready(tasks, {"a"}, {"a", "b"})] == ["c"]


def test_a_cycle_is_an_invariant_violation() -> None:
    with pytest.raises(AssertionError, match="never start"):
        check([Task("a", "m:f", after=("b",)), Task("b", "m:f", after=("a",))])


def test_run_imports_and_calls() -> None:
    assert run("builtins:dict", {"a": 1}, print)["a"] == 1
