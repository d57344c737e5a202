"""Rounds: budgets that add up, parents that hold the text, shares that cover every language."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import CONTEXT

from xelm import plan
from xelm.allocation.settings import AllocationSettings
from xelm.config import validate
from xelm.corpus import windows_hash
from xelm.ensemble import manifest as manifests
from xelm.ensemble.bundle import assemble
from xelm.errors import UserError
from xelm.growth.lineage import lineage, of_run
from xelm.growth.rounds import Round, after, check, is_inner, jobs, members, shares
from xelm.storage import atomic
from xelm.training.job import Job, plan_matched
from xelm.training.loop import train
from xelm.training.settings import ArmSettings

PAIR = AllocationSettings(method="typology", k=2)
SETTINGS = ArmSettings(batch=2, micro_batch=2, dtype="float32", compile=False, learning_rate=1e-2)
ROUNDS = [Round(k=1, share=0.25), Round(groups=[["en", "ru"], ["sw"]]), Round(share=0.5)]


def planned(run: Path, rounds: list[Round] = ROUNDS, **changes: Any) -> list[Job]:
    given: dict[str, Any] = {"windows": 21, "context": CONTEXT, **changes}
    return jobs(run, "pair", rounds, PAIR, SETTINGS, **given)


def test_jobs_go_down_the_tree_and_cost_what_the_arm_may(run: Path) -> None:
    found = {job.name: job for job in planned(run)}
    assert {name: job.parent for name, job in found.items()} == {
        "pair/round-1/en-ru-sw": "models/seed",
        "pair/round-2/en-ru": "models/pair/round-1/en-ru-sw",
        "pair/round-2/sw": "models/pair/round-1/en-ru-sw",
        "pair/en-sw": "models/pair/round-2/en-ru",  # most of its text is English
        "pair/ru": "models/pair/round-2/en-ru",
    }
    by_round = Counter[int]()
    for name, job in found.items():
        by_round[name.count("round-1") + 2 * name.count("round-2")] += job.windows
    assert by_round == {1: 5, 2: 5, 0: 11}
    assert sum(job.windows for job in found.values()) == 21


def test_orders_have_parents_of_their_own(run: Path) -> None:
    found = {job.name: job for job in planned(run, prefix="orders/1/", order=1)}
    job = found["orders/1/pair/ru"]
    assert job.parent == "models/orders/1/pair/round-2/en-ru" and job.order_seed == 1
    assert after(job, list(found)) == ("orders/1/pair/round-2/en-ru",)
    assert after(found["orders/1/pair/round-1/en-ru-sw"], list(found)) == ()


def test_inner_experts_are_told_from_an_arms_own(run: Path) -> None:
    inner = {job.name for job in planned(run, prefix="sweep/pair/b8/") if is_inner(job.name)}
    assert inner == {
        "sweep/pair/b8/pair/round-1/en-ru-sw",
        "sweep/pair/b8/pair/round-2/en-ru",
        "sweep/pair/b8/pair/round-2/sw",
    }


def test_shares_of_every_round_hold_every_language_once(run: Path) -> None:
    for team in members(run, "pair", ROUNDS, PAIR):
        held = Counter(code for member in team for code in member.tokens)
        assert held == Counter(["en", "ru", "sw"])
        assert all((run / member.share).is_file() for member in team)


def test_typological_rounds_are_nested(run: Path) -> None:
    teams = members(run, "pair", [Round(k=1), Round(k=3), Round()], PAIR)
    assert [len(team) for team in teams] == [1, 3, 2]
    assert {member.job for member in teams[1]} == {f"pair/round-2/{c}" for c in ("en", "ru", "sw")}


def test_trained_in_rounds_each_starts_from_its_parents_files(run: Path) -> None:
    shutil.rmtree(run / "models" / "pair")
    every = planned(run)
    for job in every:
        job.save(run)
        train(run, job.name)
    matched = plan_matched("dense-matched/pair", every, SETTINGS)
    matched.save(run)
    train(run, matched.name)
    ledgers = {j.name: atomic.read_json(run / "models" / j.name / "ledger.json") for j in every}
    control = atomic.read_json(run / "models" / matched.name / "ledger.json")
    hashes = [each["windows_hash"] for each in ledgers.values()]
    assert control["windows_hash"] == windows_hash.union(hashes)
    tree = of_run(run)
    assert [root.name for root in tree.roots if root.children] == ["seed"]
    inner = tree.by_name()["pair/round-2/en-ru"]
    assert {child.name for child in inner.children} == {"pair/en-sw", "pair/ru"}
    assert inner.tokens == ledgers["pair/round-2/en-ru"]["tokens"]


def test_published_steps_divide_the_batch_by_the_experts_of_the_round(run: Path) -> None:
    rounds = [Round(k=1, training={"batch": 6}), Round(training={"batch": 6})]
    found = planned(run, rounds, published=True)
    assert {job.name: job.settings.batch for job in found} == {
        "pair/round-1/en-ru-sw": 6,
        "pair/en-sw": 3,
        "pair/ru": 3,
    }


class TestMistakes:
    def test_groups_must_cover(self, run: Path) -> None:
        with pytest.raises(UserError, match="'sw' is in no group"):
            planned(run, [Round(groups=[["en", "ru"]]), Round()])
        with pytest.raises(UserError, match="'en' is in more than one"):
            planned(run, [Round(groups=[["en", "ru"], ["en", "sw"]]), Round()])
        with pytest.raises(UserError, match="no language 'de'"):
            planned(run, [Round(groups=[["en", "ru", "sw", "de"]]), Round()])
        with pytest.raises(UserError, match="9 groups of 3"):
            planned(run, [Round(k=9), Round()])
        with pytest.raises(UserError, match=r"training\.bach"):
            planned(run, [Round(k=1, training={"bach": 3}), Round()])

    def test_sequences(self) -> None:
        for rounds, message in (
            ([Round()], "two rounds or more"),
            ([Round(k=1), Round(k=2)], "the last round is"),
            ([Round(), Round()], "round 1 has neither"),
            ([Round(k=1, share=0.5), Round(share=0.4)], "sum to 0.9"),
            ([Round(k=1, share=1.0), Round()], "sum to 1; they must"),
        ):
            with pytest.raises(ValueError, match=message):
                check("x", rounds)
        with pytest.raises(ValueError, match="not both"):
            Round(k=1, groups=[["en"]])


@given(
    st.lists(st.none() | st.floats(0.01, 0.3), min_size=2, max_size=6).filter(lambda x: None in x)
)
def test_silent_rounds_share_the_rest(given_shares: list[float | None]) -> None:
    if sum(each or 0 for each in given_shares) >= 0.999:
        return
    found = shares([Round(k=1, share=each) for each in given_shares])
    assert sum(found) == pytest.approx(1)
    assert all(b == a for a, b in zip(given_shares, found, strict=True) if a is not None)


class TestRecipe:
    VALUES: ClassVar[dict[str, Any]] = {
        "name": "trial",
        "corpus": {"train": "sample", "context": CONTEXT},
        "seed": {"folder": "sample"},
        "allocations": {"pair": {"method": "typology", "k": 2}},
        "rounds": {"pair": [{"k": 1, "share": 0.25}, {"share": 0.75}]},
        "controls": ["dense-matched/pair"],
        "training": {"tokens": 40 * CONTEXT, "defaults": {"batch": 2, "compile": False}},
    }

    def test_plan_trains_children_after_their_parents(self, run: Path) -> None:
        shutil.rmtree(run / "models" / "pair")
        every = plan.all_jobs(run, validate(self.VALUES, "trial.yaml"))
        assert sum(job.windows for job in every if job.name.startswith("pair/")) == 40
        (matched,) = [job for job in every if job.name.startswith("dense-matched")]
        assert matched.windows == 40
        after = {task.name: task.after for task in plan.tasks(run, every)}
        root = "pair/round-1/en-ru-sw"
        assert after[root] == () and after["pair/ru"] == after["pair/en-sw"] == (root,)

    def test_mistakes_are_told_before_anything_runs(self) -> None:
        for rounds, message in (
            ({"pairs": [{"k": 1}, {}]}, "`pairs` names no allocation; did you mean `pair`"),
            ({"pair": [{}]}, "two rounds or more"),
        ):
            with pytest.raises(UserError, match=message):
                validate({**self.VALUES, "rounds": rounds}, "trial.yaml")

    def test_a_bundle_remembers_the_rounds(self, run: Path) -> None:
        shutil.rmtree(run / "models" / "pair")
        shutil.rmtree(run / "bundles")
        for job in planned(run):
            job.save(run)
            train(run, job.name)
        bundle = run / "bundles" / "pair"
        assemble(run, "pair", bundle)
        assert manifests.read(bundle).expert("ru").parent == "pair/round-2/en-ru"
        tree = lineage(bundle)
        assert [root.name for root in tree.roots] == ["seed"]
        inner = tree.by_name()["pair/round-2/en-ru"]
        assert not inner.current and [one.name for one in inner.children] == ["en-sw", "ru"]
        assert tree.by_name()["pair/round-1/en-ru-sw"].children == [inner]
