"""A loaded X-ELM back to a folder or to the hub, byte for byte.

Experts that are what they were on loading are copied as files. An expert that was changed (half
precision, fine-tuning) is written as a new folder with its own fingerprint and a new revision says
so: a bundle never lies about its bytes.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from xelm.ensemble import bundle as bundles
from xelm.ensemble import manifest as manifests
from xelm.ensemble.manifest import Manifest
from xelm.errors import UserError
from xelm.storage import atomic, fingerprint


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


def save(
    bundle: Path | None, names: Sequence[str], experts: Sequence[Any] | None, out: Path
) -> None:
    """Write a loaded model's bundle to `out`.

    Args:
        bundle: the folder it was loaded from.
        names: of the experts that were loaded.
        experts: the models as they are now; None when none can have changed.

    Raises:
        UserError: there is no such folder, or `out` would not be the whole bundle as it is now.
    """
    if bundle is None:
        raise UserError("save_pretrained: this model was not loaded from a bundle; create one")
    manifest = manifests.read(bundle)
    now = {} if experts is None else dict(zip(names, experts, strict=True))
    changed = _changed(now, bundle, manifest)
    if changed and out.resolve() == bundle.resolve():
        raise UserError(f"{out}: experts have changed since they were loaded; save elsewhere")
    left_out = {entry.name for entry in manifest.experts} - set(names)
    if left_out:
        raise UserError(
            f"save_pretrained: experts {', '.join(sorted(left_out))} were not loaded; "
            "use `xelm remove` to make a bundle without them"
        )
    copy(bundle, out, manifest)
    if changed:
        manifests.swap(out, manifest.revision, _rewritten(manifest, changed, bundle, out))


def _rewritten(manifest: Manifest, changed: Mapping[str, Any], source: Path, out: Path) -> Manifest:
    """The next revision, with the changed experts' new folders, which are written here."""
    entries = _entries(manifest)
    for name, expert in changed.items():
        folder, fingerprint_ = _write(expert, name, source / entries[name].folder, out)
        new = {"folder": folder, "fingerprint": fingerprint_}
        entries[name] = entries[name].model_copy(update=new)
    event = bundles.event("save", experts=list(changed))
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


def _changed(experts: Mapping[str, Any], source: Path, manifest: Manifest) -> dict[str, Any]:
    """Those whose tensors are not those of their files."""
    entries = _entries(manifest)
    return {
        name: expert
        for name, expert in experts.items()
        if not _same(expert, source / entries[name].folder)
    }


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


def push(
    write: Callable[[Path], None],
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
    """Upload to the hub what `write` puts into a folder; returns the commit's address."""
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    repo = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
    with tempfile.TemporaryDirectory() as temporary:
        write(Path(temporary))
        commit = api.upload_folder(
            repo_id=repo,
            folder_path=temporary,
            commit_message=commit_message or "Upload X-ELM",
            commit_description=commit_description,
            revision=revision,
            create_pr=create_pr,
        )
    return str(commit.commit_url)
