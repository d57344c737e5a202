"""Publishing: the closure of the current revision and nothing else."""

from pathlib import Path
from typing import Any

import pytest
from tiny import snapshot, unchanged

from xelm.ensemble.verify import verify
from xelm.errors import UserError
from xelm.growth.publish import publish, upload
from xelm.growth.remove import remove


def card(bundle: Path) -> str:
    return f"# {bundle.name}\n"


def test_writes_the_current_revision_alone(bundle: Path, tmp_path: Path) -> None:
    before = snapshot(bundle)
    remove(bundle, "ru")
    out = tmp_path / "out"
    publish(bundle, out, card)
    manifest = verify(out)
    assert manifest.revision == 2
    names = sorted(path.name.rsplit("-", 1)[0] for path in (out / "experts").iterdir())
    assert names == ["en-sw", "seed"]
    assert len(list((out / "router").iterdir())) == 1
    assert not (out / "revisions").exists() and not (out / ".xelm.lock").exists()
    assert (out / "xelm.json").read_bytes() == (bundle / "xelm.json").read_bytes()
    assert (out / "README.md").read_text(encoding="utf-8") == "# pair\n"
    assert unchanged(before, bundle) and not (bundle / "README.md").exists()


def test_refuses_a_place_that_is_taken_and_a_damaged_bundle(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="exists already"):
        publish(bundle, tmp_path, card)
    weights = next(bundle.rglob("experts/*/model.safetensors"))
    weights.unlink()
    with pytest.raises(UserError, match=r"model\.safetensors"):
        publish(bundle, tmp_path / "out", card)
    assert not (tmp_path / "out").exists()


def test_uploads_what_it_would_write(bundle: Path, monkeypatch: Any) -> None:
    import huggingface_hub

    seen: dict[str, Any] = {}

    class Hub:
        def create_repo(self, name: str, **settings: Any) -> Any:
            seen["private"] = settings["private"]
            return type("Repo", (), {"repo_id": f"me/{name}"})

        def upload_folder(self, *, repo_id: str, folder_path: Path, **_: Any) -> Any:
            seen["id"], seen["revision"] = repo_id, verify(folder_path).revision
            return type("Commit", (), {"commit_url": "https://hub/commit"})

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    assert upload(bundle, "team", card, private=True) == "https://hub/commit"
    assert seen == {"private": True, "id": "me/team", "revision": 1}
    with pytest.raises(UserError, match="not a hub id"):
        upload(bundle, "no such id", card)


def test_a_hub_that_refuses_is_told_in_one_line(bundle: Path, monkeypatch: Any) -> None:
    import huggingface_hub
    from huggingface_hub.errors import LocalTokenNotFoundError

    class Hub:
        def create_repo(self, name: str, **settings: Any) -> Any:
            raise LocalTokenNotFoundError("no token\nlong explanation")

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    with pytest.raises(UserError, match=r"the hub refused \(no token\)"):
        upload(bundle, "me/team", card)
