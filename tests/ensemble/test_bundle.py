"""Bundles: made of a run, checked against every kind of damage, changed by compare-and-swap."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xelm.corpus import building, sample
from xelm.corpus.shards import TokenShards
from xelm.corpus.share import Share
from xelm.ensemble import manifest as manifests
from xelm.ensemble.bundle import Part, assemble, create, verify
from xelm.ensemble.cut_text import PART
from xelm.ensemble.model import XelmForCausalLM
from xelm.ensemble.routers.build import build
from xelm.ensemble.routers.data import RouterData
from xelm.ensemble.routing import Routing
from xelm.errors import UserError
from xelm.models import seed
from xelm.storage import atomic, fingerprint
from xelm.storage import manifest as contents

GROUPS = {"de-en": ("de", "en"), "hi": ("hi",), "zh": ("zh",)}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any, make_model: Any) -> Path:
    """A run that is trained: corpus, one allocation, a seed, three experts."""
    folder = tmp_path_factory.mktemp("run")
    languages = [language for group in GROUPS.values() for language in group]
    splits = {split: sample.documents(split, languages) for split in ("train", "dev", "heldout")}  # type: ignore[arg-type]
    building.build(splits, tokenizer, folder / "corpus")
    shards = TokenShards(folder / "corpus", "train")
    experts = {}
    for name, group in GROUPS.items():
        share = Share.of(shards, dict.fromkeys(group))
        share.save(folder / "allocations" / "typology-3" / "shares" / f"{name}.json")
        experts[name] = {"languages": {code: share.token_count(code) for code in group}}
    atomic.write_json(
        folder / "allocations" / "typology-3" / "allocation.json", {"experts": experts}
    )
    for number, name in enumerate(["seed", *(f"typology-3/{name}" for name in GROUPS)]):
        model = make_model(len(tokenizer), number)
        seed.save(model, tokenizer, folder / "models" / name, {"job": name})
    return folder


def test_assemble_makes_a_bundle_that_loads(run: Path, tmp_path: Path, texts: Any) -> None:
    made = assemble(run, "typology-3", tmp_path / "bundle")
    assert [expert.name for expert in made.experts] == list(GROUPS)
    assert made.revision == 1 and made.experts[0].languages[0] in ("de", "en")
    assert verify(tmp_path / "bundle") == made
    weights = next((tmp_path / "bundle" / made.experts[0].folder).glob("*.safetensors"))
    assert weights.stat().st_nlink >= 2  # linked, not copied
    model = XelmForCausalLM.from_pretrained(tmp_path / "bundle")
    assert model.owner("hi") == "hi"


def test_assemble_again_does_nothing(run: Path, tmp_path: Path) -> None:
    assemble(run, "typology-3", tmp_path / "bundle")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "bundle").rglob("*")}
    assemble(run, "typology-3", tmp_path / "bundle")
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "bundle").rglob("*")} == before


def test_assemble_takes_the_experts_that_are_there(run: Path, tmp_path: Path) -> None:
    part = tmp_path / "run"
    shutil.copytree(run, part)
    shutil.rmtree(part / "models" / "typology-3" / "hi")
    made = assemble(part, "typology-3", tmp_path / "bundle")
    assert [expert.name for expert in made.experts] == ["de-en", "zh"]
    shutil.copytree(run / "models" / "typology-3" / "hi", part / "models" / "typology-3" / "hi")
    made = assemble(part, "typology-3", tmp_path / "bundle")
    assert [expert.name for expert in made.experts] == list(GROUPS) and made.revision == 1
    shutil.rmtree(part / "models" / "typology-3")
    with pytest.raises(UserError, match="no expert is finished"):
        assemble(part, "typology-3", tmp_path / "other")


def test_the_router_counts_what_each_expert_read(run: Path, tmp_path: Path) -> None:
    made = assemble(run, "typology-3", tmp_path / "bundle")
    data = RouterData.load(tmp_path / "bundle" / made.router.folder)
    shards = TokenShards(run / "corpus", "train")
    assert data.unigram is not None
    for row, column in enumerate(data.unigram.columns):
        ids = np.asarray(shards.tokens(str(column.language)))
        whole = np.bincount(ids, minlength=shards.vocabulary)
        cut = data.unigram.counts[row] - whole
        assert (cut >= 0).all()
        assert cut.sum() == pytest.approx(PART / (1 - PART) * whole.sum(), rel=0.05)
        assert np.abs(cut / cut.sum() - whole / whole.sum()).sum() > 0.05, "pieces of whole text"
        assert str(column.language) in column.expert
    router = build(Routing(), data)
    held = TokenShards(run / "corpus", "heldout")
    for language in held.languages:
        ids_bt = torch.tensor(held.document(language, 0).astype(np.int64))[None]
        best = data.experts[int(router.weights(ids_bt)[0, -1].argmax())]
        assert language in best


def test_the_seed_answers_when_nothing_fits(run: Path, tmp_path: Path, encode: Any) -> None:
    assemble(run, "typology-3", tmp_path / "bundle")
    for kind in ("unigram", "tfidf"):
        model = XelmForCausalLM.from_pretrained(tmp_path / "bundle")
        if kind not in model.router_data.bounds:
            continue  # this allocation saved no embedding
        assert model.names[-1] == "seed"
        known = [d.text for d in sample.documents("heldout", ["de", "en", "hi", "zh"])]
        asked = 0
        for ids in encode(known):
            weights = model.router.weights(torch.tensor(ids)[None])
            asked += int((weights[0, :, -1] > 0).any())
        assert asked <= 0.1 * len(known)
        foreign = [d.text for d in sample.documents("heldout", ["he", "el", "ko"])]
        for ids in encode(foreign):
            assert model.router.weights(torch.tensor(ids)[None])[0, -1, -1] == 1.0
        with model.routed(kind="uniform"):
            model(torch.tensor([[5, 6, 7]]))
            assert model.expert_weights[0, 0].tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0])
        with model.routed(kind="posterior"):
            model.generate(torch.tensor([[5, 6, 7]]), max_new_tokens=3)
            assert model.expert_weights[0, -1, -1] == 0
    proud = XelmForCausalLM.from_pretrained(tmp_path / "bundle", abstain=False)
    assert len(proud.names) == 3


def test_a_bundle_with_its_seed_is_saved_whole(run: Path, tmp_path: Path) -> None:
    assemble(run, "typology-3", tmp_path / "bundle")
    XelmForCausalLM.from_pretrained(tmp_path / "bundle").save_pretrained(tmp_path / "copy")
    assert verify(tmp_path / "copy") == manifests.read(tmp_path / "bundle")
    XelmForCausalLM.from_pretrained(tmp_path / "bundle").half().save_pretrained(tmp_path / "half")
    made = verify(tmp_path / "half")
    assert made.revision == 2 and made.history[-1]["experts"][-1] == "seed"


def _truncate(bundle: Path) -> Path:
    path = next(bundle.glob("experts/hi-*/model.safetensors"))
    _unlink_and_write(path, path.read_bytes()[:-9])
    return path


def _flip_a_bit(bundle: Path) -> Path:
    path = next(bundle.glob("experts/hi-*/model.safetensors"))
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    _unlink_and_write(path, bytes(data))
    return path


def _unlink_and_write(path: Path, data: bytes) -> None:
    path.unlink()  # it may be linked to the original
    path.write_bytes(data)


def _edit(bundle: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    path = bundle / "xelm.json"
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))
    return path


def _missing(bundle: Path) -> Path:
    folder = next(bundle.glob("experts/hi-*"))
    shutil.rmtree(folder)
    return folder


def _other_tokenizer(bundle: Path) -> Path:
    path = bundle / "tokenizer.json"
    _unlink_and_write(path, path.read_bytes() + b"\n")
    return path


def _link_out(bundle: Path) -> Path:
    path = next(bundle.glob("experts/hi-*/config.json"))
    outside = bundle.parent / "outside.json"
    shutil.move(path, outside)
    path.symlink_to(outside)
    return path


def _link_a_folder_out(bundle: Path) -> Path:
    path = next(bundle.glob("experts/hi-*"))
    outside = bundle.parent / "outside"
    shutil.move(path, outside)
    path.symlink_to(outside, target_is_directory=True)
    return path


def _pickle(bundle: Path) -> Path:
    path = next(bundle.glob("experts/hi-*")) / "pytorch_model.bin"
    path.write_bytes(b"\x80\x04.")
    return path


def _damaged_router(bundle: Path) -> Path:
    path = next(bundle.glob("router/*/router.safetensors"))
    _unlink_and_write(path, b"no tensors")
    return path


DAMAGE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing expert": (_missing, "missing"),
    "truncated": (_truncate, "truncated"),
    "changed": (_flip_a_bit, "changed"),
    "other tokenizer": (_other_tokenizer, "not the tokenizer"),
    "link out": (_link_out, "symbolic link out"),
    "folder linked out": (_link_a_folder_out, "symbolic link out"),
    "pickle": (_pickle, "not listed"),
    "damaged router": (_damaged_router, "truncated"),
    "newer format": (
        lambda bundle: _edit(bundle, lambda value: value.update(format=2)),
        "upgrade xelm",
    ),
    "no revision": (
        lambda bundle: _edit(bundle, lambda value: value.pop("revision")),
        "revision",
    ),
    "path outside": (
        lambda bundle: _edit(
            bundle, lambda value: value["experts"][0].update(folder="../elsewhere")
        ),
        "leaves the bundle",
    ),
    "absolute path": (
        lambda bundle: _edit(bundle, lambda value: value["router"].update(folder="/etc")),
        "leaves the bundle",
    ),
    "two of a name": (
        lambda bundle: _edit(bundle, lambda value: value["experts"].append(value["experts"][0])),
        "two experts",
    ),
    "other fingerprint": (
        lambda bundle: _edit(
            bundle, lambda value: value["experts"][2].update(fingerprint="0" * 64)
        ),
        "fingerprint",
    ),
    "not JSON": (lambda bundle: _broken(bundle), "broken JSON"),
}


def _broken(bundle: Path) -> Path:
    (bundle / "xelm.json").write_text('{"format": 1,')
    return bundle / "xelm.json"


@pytest.mark.parametrize("damage", list(DAMAGE))
def test_a_damaged_bundle_is_refused_by_name(bundle: Path, tmp_path: Path, damage: str) -> None:
    broken = tmp_path / "bundle"
    shutil.copytree(bundle, broken)
    spoil, reason = DAMAGE[damage]
    path = spoil(broken)
    name = {"other fingerprint": "manifest.json"}.get(damage, path.name)
    for check in (verify, XelmForCausalLM.from_pretrained):
        with pytest.raises(UserError, match=reason) as told:
            check(broken)
        assert name in str(told.value), told.value
        assert "\n" not in str(told.value)


def test_experts_of_another_shape_or_tokenizer_are_refused(
    experts_on_disk: dict[str, Path],
    router_data: Any,
    tmp_path: Path,
    tokenizer: Any,
    make_model: Any,
) -> None:
    from xelm.corpus import tokenizer as tokenizers

    data = router_data({"en-es": ("en",), "hi": ("hi",)})
    good = Part("en-es", experts_on_disk["en-es"], {"en": 1})
    wide = tmp_path / "wide"
    seed.save(make_model(len(tokenizer), 9, hidden_size=64), tokenizer, wide, {})
    with pytest.raises(UserError, match=r"config\.json: hidden_size is 64, 32"):
        create(tmp_path / "a", [good, Part("hi", wide, {"hi": 1})], data, Routing())
    other = tmp_path / "other"
    foreign = tokenizers.train(sample.documents("train", ["ru"]), 600)
    seed.save(make_model(600, 9), foreign, other, {})
    with pytest.raises(UserError, match=r"tokenizer\.json: not the tokenizer of"):
        create(tmp_path / "b", [good, Part("hi", other, {"hi": 1})], data, Routing())
    assert not (tmp_path / "a").exists() and not (tmp_path / "b").exists()


def test_swap_keeps_the_old_revision_and_refuses_a_stale_one(bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(bundle, copy)
    first = manifests.read(copy)
    second = first.model_copy(update={"revision": 2, "experts": first.experts[:2]})
    manifests.swap(copy, 1, second)
    assert manifests.read(copy).revision == 2
    assert manifests.revision(copy, 1) == first
    with pytest.raises(UserError, match="is revision 2 now, 1 was changed"):
        manifests.swap(copy, 1, second)
    with pytest.raises(UserError, match="no revision 7; it has 1, 2"):
        manifests.revision(copy, 7)


def test_a_bundle_is_not_a_list_of_files_that_change(bundle: Path) -> None:
    """xelm.json names everything by fingerprint; nothing else at the top records contents."""
    manifest = manifests.read(bundle)
    assert not (bundle / contents.MANIFEST).exists()
    for folder, name in manifest.folders():
        assert fingerprint.of_folder(bundle / folder) == name
    assert set(manifest.files) >= {"config.json", "tokenizer.json", "tokenizer_config.json"}
