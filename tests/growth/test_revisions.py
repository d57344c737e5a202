"""One revision to the next: nothing else is touched, whoever does it and whenever it is killed."""

import json
import multiprocessing
import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny import snapshot, tiny_model, trained, unchanged

from xelm.ensemble import manifest as manifests
from xelm.ensemble.routers.data import RouterData
from xelm.ensemble.verify import verify
from xelm.errors import UserError
from xelm.growth.adopt import adopt
from xelm.growth.history import checkout, log
from xelm.growth.prune import prune
from xelm.growth.remove import remove
from xelm.growth.revisions import change
from xelm.growth.unchanged import verify_history
from xelm.growth.upgrade import upgrade
from xelm.training.inputs import weights_fingerprint


def names(bundle: Path) -> list[str]:
    return [expert.name for expert in manifests.read(bundle).experts]


def router(bundle: Path) -> RouterData:
    return RouterData.load(bundle / manifests.read(bundle).router.folder)


def further(bundle: Path, expert: str, folder: Path, pieces: Any) -> Path:
    """A model that says it was trained on from an expert of the bundle."""
    parent = bundle / manifests.read(bundle).expert(expert).folder
    record = {
        "fingerprints": {"seed": weights_fingerprint(parent)},
        "tokens_by_language": {"ru": 1000},
    }
    return trained(pieces, folder, 77, **record)


class TestRemove:
    def test_takes_the_expert_and_its_columns_and_touches_no_file(self, bundle: Path) -> None:
        before = snapshot(bundle)
        remove(bundle, "ru")
        assert names(bundle) == ["en-sw"]
        assert set(router(bundle).languages) == {"en", "sw"}
        assert {column.expert for column in router(bundle).unigram.columns} == {"en-sw"}
        assert unchanged(before, bundle)
        verify(bundle)

    def test_refuses_the_last_and_the_unknown(self, bundle: Path) -> None:
        with pytest.raises(UserError, match="no expert 'de'"):
            remove(bundle, "de")
        remove(bundle, "ru")
        with pytest.raises(UserError, match="last expert"):
            remove(bundle, "en-sw")
        assert manifests.read(bundle).revision == 2


class TestUpgrade:
    def test_replaces_one_expert_only(self, bundle: Path, tmp_path: Path, pieces: Any) -> None:
        before, old = snapshot(bundle), manifests.read(bundle).expert("ru")
        upgrade(bundle, "ru", further(bundle, "ru", tmp_path / "more", pieces))
        new = manifests.read(bundle).expert("ru")
        assert new.fingerprint != old.fingerprint
        assert new.tokens["ru"] == old.tokens["ru"] + 1000
        assert names(bundle) == ["en-sw", "ru"]
        assert unchanged(before, bundle)
        verify(bundle)

    def test_wants_to_see_descent(self, bundle: Path, tmp_path: Path, pieces: Any) -> None:
        stranger = trained(pieces, tmp_path / "stranger", 78)
        with pytest.raises(UserError, match="nothing shows"):
            upgrade(bundle, "ru", stranger)
        sibling = further(bundle, "en-sw", tmp_path / "sibling", pieces)
        with pytest.raises(UserError, match="another parent"):
            upgrade(bundle, "ru", sibling)
        assert upgrade(bundle, "ru", sibling, force=True).revision == 2

    def test_refuses_the_same_again(self, bundle: Path) -> None:
        folder = bundle / manifests.read(bundle).expert("ru").folder
        with pytest.raises(UserError, match="nothing to upgrade"):
            upgrade(bundle, "ru", folder)


class TestAdopt:
    def test_of_a_bare_model_of_any_tool(self, bundle: Path, tmp_path: Path, pieces: Any) -> None:
        source = tmp_path / "theirs"
        tiny_model(5).save_pretrained(source)
        (source / "optimizer.pt").write_bytes(b"not ours to copy")
        before, said = snapshot(bundle), list[str]()
        adopt(bundle, source, ["pl"], say=said.append)
        entry = manifests.read(bundle).expert("pl")
        assert entry.languages == ["pl"] and entry.parent is None
        assert not (bundle / entry.folder / "optimizer.pt").exists()
        assert unchanged(before, bundle)
        assert any("no ledger" in line for line in said)
        assert any("no text to know it by" in line for line in said)
        verify(bundle)

    def test_old_languages_stay_unless_taken_over(
        self, bundle: Path, tmp_path: Path, pieces: Any
    ) -> None:
        source = trained(pieces, tmp_path / "theirs", 5, tokens_by_language={"ru": 10**9})
        with pytest.raises(UserError, match=r"owned already: ru \(ru\)"):
            adopt(bundle, source, ["ru"], name="ru-2")
        adopt(bundle, source, ["ru"], name="ru-2", take_over=True, say=lambda line: None)
        data = router(bundle)
        assert max(data.languages["ru"], key=data.languages["ru"].__getitem__) == "ru-2"
        assert {c.expert for c in data.unigram.columns if c.language == "ru"} == {"ru-2"}
        remove(bundle, "ru-2")
        assert set(router(bundle).languages) == {"en", "ru", "sw"}

    def test_checks_tokenizer_shapes_and_seed(
        self, bundle: Path, tmp_path: Path, pieces: Any
    ) -> None:
        wide = tmp_path / "wide"
        tiny_model(5, width=64).save_pretrained(wide)
        with pytest.raises(UserError, match="hidden_size is 64, 32 in"):
            adopt(bundle, wide, ["pl"])
        other = trained(pieces, tmp_path / "other", 5)
        text = (other / "tokenizer.json").read_text(encoding="utf-8")
        (other / "manifest.json").unlink()
        (other / "tokenizer.json").write_text(text + " ", encoding="utf-8")
        with pytest.raises(UserError, match=r"tokenizer\.json: not the tokenizer"):
            adopt(bundle, other, ["pl"])
        damaged = trained(pieces, tmp_path / "damaged", 5)
        with (damaged / "model.safetensors").open("ab") as file:
            file.write(b"x")
        with pytest.raises(UserError, match=r"model\.safetensors: grown"):
            adopt(bundle, damaged, ["pl"])
        with pytest.raises(UserError, match="no model here"):
            adopt(bundle, tmp_path / "nowhere", ["pl"])
        assert manifests.read(bundle).revision == 1

    def test_of_another_seed(self, run: Path, tmp_path: Path, pieces: Any) -> None:
        bundle = run / "bundles" / "pair"
        with change(bundle) as step:  # an expert whose ledger names the seed
            pass
        ours = {"seed": weights_fingerprint(run / "models" / "seed")}
        first = trained(pieces, tmp_path / "first", 5, fingerprints=ours)
        adopt(bundle, first, ["pl"], say=lambda line: None)
        theirs = {"seed": "0" * 64}
        second = trained(pieces, tmp_path / "second", 6, fingerprints=theirs)
        with pytest.raises(UserError, match="another seed"):
            adopt(bundle, second, ["he"], say=lambda line: None)
        adopt(bundle, second, ["he"], any_seed=True, say=lambda line: None)
        assert step.before.revision == 1
        assert manifests.read(bundle).expert("pl").parent == "seed"


class TestHistory:
    def test_log_says_what_was_done(self, bundle: Path) -> None:
        remove(bundle, "ru")
        entries = log(bundle)
        assert [(e.revision, e.action) for e in entries] == [(1, "assemble"), (2, "remove")]
        assert entries[1].details["expert"] == "ru" and entries[1].current

    def test_checkout_goes_back_by_going_forward(self, bundle: Path) -> None:
        first = manifests.read(bundle)
        remove(bundle, "ru")
        after = checkout(bundle, 1)
        assert after.revision == 3
        assert after.experts == first.experts and after.router == first.router
        assert manifests.revision(bundle, 2).experts[0].name == "en-sw"
        with pytest.raises(UserError, match="nothing to check out"):
            checkout(bundle, 1)
        with pytest.raises(UserError, match="no revision 9"):
            checkout(bundle, 9)

    def test_checkout_of_what_was_pruned(self, bundle: Path) -> None:
        remove(bundle, "ru")
        prune(bundle, keep=1)
        with pytest.raises(UserError, match="revision 1 needs it and it is gone"):
            checkout(bundle, 1)
        verify(bundle)


class TestPrune:
    def test_keeps_what_any_revision_names(self, bundle: Path) -> None:
        remove(bundle, "ru")
        assert prune(bundle) == []

    def test_removes_what_a_kill_left_and_says_how_much(
        self, bundle: Path, tmp_path: Path, pieces: Any
    ) -> None:
        debris = bundle / "experts" / "xx-01234567"
        trained(pieces, debris, 3)
        size = sum(path.stat().st_size for path in debris.iterdir())
        found = prune(bundle, dry_run=True)
        assert [(each.folder, each.size) for each in found] == [("experts/xx-01234567", size)]
        assert debris.exists()
        assert prune(bundle) == found and not debris.exists()

    def test_keep_one_leaves_the_current_revision(self, bundle: Path) -> None:
        remove(bundle, "ru")
        gone = {each.folder.split("-")[0] for each in prune(bundle, keep=1)}
        assert len(gone) == 2 and "experts/ru" in gone
        verify(bundle)
        with pytest.raises(UserError, match="--keep 0"):
            prune(bundle, keep=0)


class TestVerifyHistory:
    def test_says_since_when_an_expert_is_the_same(
        self, bundle: Path, tmp_path: Path, pieces: Any
    ) -> None:
        upgrade(bundle, "ru", further(bundle, "ru", tmp_path / "more", pieces))
        assert verify_history(bundle) == {"en-sw": 1, "ru": 2}

    def test_finds_damage_in_what_only_an_older_revision_names(self, bundle: Path) -> None:
        folder = bundle / manifests.read(bundle).expert("ru").folder
        remove(bundle, "ru")
        path = folder / "model.safetensors"
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.unlink()
        path.write_bytes(data)
        verify(bundle)
        with pytest.raises(UserError, match=r"model\.safetensors: changed"):
            verify_history(bundle)


def _adopt(bundle: str, source: str, language: str) -> None:
    adopt(Path(bundle), Path(source), [language], say=lambda line: None)


def test_two_at_the_same_time_both_succeed(bundle: Path, tmp_path: Path, pieces: Any) -> None:
    before = snapshot(bundle)
    fork = multiprocessing.get_context("fork")  # no lock is held here, and torch is loaded already
    sources = {code: trained(pieces, tmp_path / code, n) for n, code in enumerate(("pl", "he"), 20)}
    processes = [
        fork.Process(target=_adopt, args=(str(bundle), str(source), code))
        for code, source in sources.items()
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert set(names(bundle)) == {"en-sw", "ru", "pl", "he"}
    assert manifests.read(bundle).revision == 3
    assert {"pl", "he"} <= set(router(bundle).languages)
    assert unchanged(before, bundle)
    verify(bundle)


def test_a_change_under_a_lost_lock_is_told_to_retry(bundle: Path) -> None:
    with pytest.raises(UserError, match="run the command again"), change(bundle) as step:
        text = (bundle / "xelm.json").read_text(encoding="utf-8")
        value = json.loads(text) | {"revision": 2}
        (bundle / "xelm.json").write_text(json.dumps(value), encoding="utf-8")
        step.commit("test")


def test_no_lock_file_where_there_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no bundle here"):
        remove(tmp_path, "ru")
    assert list(tmp_path.iterdir()) == []


def test_a_copied_bundle_grows_the_same(lone: Path, bundle: Path) -> None:
    remove(lone, "ru")
    remove(bundle, "ru")
    assert manifests.read(lone).router == manifests.read(bundle).router
    shutil.rmtree(bundle)
    verify(lone)
