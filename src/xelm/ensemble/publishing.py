"""A loaded X-ELM back to a folder or to the hub, byte for byte.

Experts that are what they were on loading are copied as files. An expert that was changed (half
precision, fine-tuning) is written as a new folder with its own fingerprint and a new revision says
so: a bundle never lies about its bytes.
"""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from xelm.ensemble import bundle as bundles
from xelm.ensemble import manifest as manifests
from xelm.ensemble.manifest import Manifest
from xelm.errors import UserError
from xelm.storage import atomic, fingerprint

if TYPE_CHECKING:
    from xelm.ensemble.model import XelmForCausalLM


def copy(bundle: Path, out: Path, manifest: Manifest | None = None) -> None:
    """Copy what the current revision refers to, and older manifests and the card.

    `out` may exist: files are replaced one by one, xelm.json last.
    """
    bundle, out = Path(bundle), Path(out)
    manifest = manifest or manifests.read(bundle)
    if out.resolve() == bundle.resolve():
        return
    for relative in files(bundle, manifest):
        target = out / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.tmp")
        shutil.copyfile(bundle / relative, temporary)
        temporary.replace(target)


def files(bundle: Path, manifest: Manifest) -> Iterator[str]:
    """Relative paths of a revision's files, xelm.json last."""
    for folder, _ in manifest.folders():
        for path in sorted((bundle / folder).rglob("*")):
            if path.is_file():
                yield path.relative_to(bundle).as_posix()
    yield from manifest.files
    for path in sorted((bundle / manifests.REVISIONS).glob("*.json")):
        yield path.relative_to(bundle).as_posix()
    if (bundle / "README.md").is_file():
        yield "README.md"
    yield manifests.NAME


def save_model(model: "XelmForCausalLM", out: Path) -> None:
    """Write a model's bundle to `out`."""
    if model.bundle is None:
        raise UserError("save_pretrained: this model was not loaded from a bundle; create one")
    source = Path(model.bundle)
    manifest = manifests.read(source)
    changed = [] if model._is_lazy else _changed(model, source, manifest)
    if changed and out.resolve() == source.resolve():
        raise UserError(f"{out}: experts have changed since they were loaded; save elsewhere")
    left_out = {entry.name for entry in manifest.experts} - set(model.names)
    if left_out:
        raise UserError(
            f"save_pretrained: experts {', '.join(sorted(left_out))} were not loaded; "
            "use `xelm remove` to make a bundle without them"
        )
    copy(source, out, manifest)
    if changed:
        manifests.swap(out, manifest.revision, _rewritten(model, manifest, changed, source, out))


def _rewritten(
    model: "XelmForCausalLM", manifest: Manifest, changed: Sequence[int], source: Path, out: Path
) -> Manifest:
    """The next revision, with the changed experts' new folders, which are written here."""
    entries = _entries(manifest)
    for index in changed:
        name = model.names[index]
        folder, fingerprint_ = _write(
            model.experts[index], name, source / entries[name].folder, out
        )
        new = {"folder": folder, "fingerprint": fingerprint_}
        entries[name] = entries[name].model_copy(update=new)
    event = bundles.event("save", experts=[model.names[index] for index in changed])
    return manifest.model_copy(
        update={
            "revision": manifest.revision + 1,
            "experts": [entries[expert.name] for expert in manifest.experts],
            "seed": entries.get(manifests.SEED, manifest.seed),
            "history": [*manifest.history, event],
        }
    )


def _entries(manifest: Manifest) -> dict[str, Any]:
    """Name -> entry of the experts, and of the seed if the bundle carries it."""
    entries: dict[str, Any] = {entry.name: entry for entry in manifest.experts}
    if manifest.seed is not None and manifest.seed.folder is not None:
        entries[manifests.SEED] = manifest.seed
    return entries


def _changed(model: "XelmForCausalLM", source: Path, manifest: Manifest) -> list[int]:
    """Indices of experts whose tensors are not those of their files."""
    entries = _entries(manifest)
    return [
        index
        for index, name in enumerate(model.names)
        if not _same(model.experts[index], source / entries[name].folder)
    ]


def _same(expert: Any, folder: Path) -> bool:
    from safetensors import safe_open

    own = expert.state_dict()
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as stored:
            for key in stored.keys():  # noqa: SIM118  not a dict
                tensor, there = stored.get_tensor(key), own.get(key)
                if there is None or there.dtype != tensor.dtype:
                    return False
                if not torch.equal(there.cpu(), tensor):
                    return False
    return True


def _write(expert: Any, name: str, old: Path, out: Path) -> tuple[str, str]:
    """A changed expert as a new folder, with the small files of the old; path and fingerprint."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "expert"
        with atomic.folder(folder) as inside:
            for path in old.iterdir():
                weights = path.suffix == ".safetensors" or path.name.endswith(".index.json")
                if path.is_file() and not weights and path.name != "manifest.json":
                    shutil.copyfile(path, inside / path.name)
            expert.save_pretrained(inside)
        relative = bundles.add_folder(out, folder, name)
    return relative, fingerprint.of_folder(out / relative)


def push_model(
    model: "XelmForCausalLM",
    repo_id: str,
    *,
    commit_message: str | None = None,
    commit_description: str | None = None,
    private: bool | None = None,
    token: bool | str | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    **_: Any,
) -> str:
    """Upload a model's bundle to the hub as it would be saved; returns the commit's address."""
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    repo = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
    with tempfile.TemporaryDirectory() as temporary:
        save_model(model, Path(temporary))
        commit = api.upload_folder(
            repo_id=repo,
            folder_path=temporary,
            commit_message=commit_message or "Upload X-ELM",
            commit_description=commit_description,
            revision=revision,
            create_pr=create_pr,
        )
    return str(commit.commit_url)
