"""Is a bundle what it says it is? Files, hashes, links, tokenizers, shapes, each told by name."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xelm.ensemble import manifest as manifests
from xelm.ensemble.manifest import Manifest
from xelm.ensemble.routers.data import RouterData
from xelm.errors import UserError
from xelm.storage import atomic, fingerprint
from xelm.storage import manifest as contents

TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
)
_SHAPES = (
    "model_type",
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
)
_CODE = (".py", ".bin", ".pt", ".pth", ".pkl", ".pickle", ".joblib", ".ckpt")


def verify(bundle: Path, say: Callable[[str], None] = lambda line: None) -> Manifest:
    """Check everything the current revision refers to; returns its manifest.

    Raises:
        UserError: naming the first file that is wrong, and why.
    """
    bundle = Path(bundle)
    manifest = manifests.read(bundle)
    verify_shapes(bundle, manifest)
    verify_own_files(bundle, manifest)
    for relative, expected in manifest.folders():
        verify_folder(bundle, bundle / relative, expected)
        say(f"{relative}: whole, as recorded")
    data = RouterData.load(bundle / manifest.router.folder)
    names = {expert.name for expert in manifest.experts}
    if set(data.experts) != names:
        raise UserError(
            f"{bundle / manifest.router.folder}: routes among {', '.join(data.experts)}, "
            f"the bundle holds {', '.join(sorted(names))}; fetch the bundle again"
        )
    return manifest


def verify_own_files(bundle: Path, manifest: Manifest) -> None:
    """The files beside xelm.json are as recorded."""
    for relative, entry in manifest.files.items():
        path = manifests.inside(bundle, relative, bundle / manifests.NAME)
        if not path.is_file():
            raise contents.DamagedArtefact(f"{path}: missing; fetch the bundle again")
        if path.stat().st_size != entry.size or contents.sha256(path) != entry.sha256:
            raise contents.DamagedArtefact(f"{path}: not what was recorded; fetch the bundle again")


def verify_folder(bundle: Path, folder: Path, expected: str, *, hashes: bool = True) -> None:
    """An expert's or a router's folder is whole, unchanged, and holds nothing that is not listed.

    With `hashes=False` sizes are compared, not contents.
    """
    if not folder.is_dir():
        raise contents.DamagedArtefact(f"{folder}: missing; fetch the bundle again")
    listed = contents.read(folder)
    place = folder.relative_to(bundle).as_posix()
    for relative in listed:
        manifests.inside(bundle, f"{place}/{relative}", folder / contents.MANIFEST)
    for current, _, names in os.walk(folder):
        for name in names:
            path = Path(current, name)
            manifests.require_no_escape(bundle, path)
            relative = path.relative_to(folder).as_posix()
            if relative != contents.MANIFEST and relative not in listed:
                raise contents.DamagedArtefact(f"{path}: not listed in its manifest; remove it")
            if path.suffix in _CODE:
                raise UserError(f"{path}: a bundle holds no code and no pickles; do not trust it")
    if fingerprint.of_folder(folder) != expected:
        raise contents.DamagedArtefact(
            f"{folder / contents.MANIFEST}: not the one {manifests.NAME} names (fingerprint "
            "differs); fetch the bundle again"
        )
    contents.verify(folder, hashes=hashes)


def verify_shapes(bundle: Path, manifest: Manifest) -> None:
    """Every expert has the bundle's tokenizer and architecture."""
    own = tokenizer_fingerprint(bundle)
    if own != manifest.tokenizer:
        raise UserError(
            f"{bundle / _tokenizer_file(bundle)}: not the tokenizer that {manifests.NAME} names; "
            "fetch the bundle again"
        )
    config = _config(bundle)
    for entry in manifest.experts:
        folder = bundle / entry.folder
        if not folder.is_dir():
            raise contents.DamagedArtefact(f"{folder}: missing; fetch the bundle again")
        require_same_shape(config.get("expert") or {}, folder, bundle)
        require_same_tokenizer(manifest.tokenizer, folder, bundle)


def require_same_shape(expected: dict[str, Any], folder: Path, bundle: Path) -> None:
    """UserError naming the first dimension in which an expert's config.json differs."""
    found = _config(folder)
    for key in _SHAPES:
        if key in expected and found.get(key) != expected[key]:
            raise UserError(
                f"{folder / 'config.json'}: {key} is {found.get(key)}, {expected[key]} in "
                f"{bundle / 'config.json'}; this expert is not of this seed"
            )


def require_same_tokenizer(expected: str, folder: Path, bundle: Path) -> None:
    """UserError when an expert's folder carries another tokenizer (carrying none is fine)."""
    name = _tokenizer_file(folder)
    if (folder / name).is_file() and tokenizer_fingerprint(folder) != expected:
        raise UserError(
            f"{folder / name}: not the tokenizer of {bundle}; an expert must share the seed's"
        )


def tokenizer_fingerprint(folder: Path) -> str:
    """One name for a tokenizer's vocabulary files in a Hugging Face folder."""
    files = {
        name: fingerprint.of_file(folder / name)
        for name in TOKENIZER_FILES
        if (folder / name).is_file()
    }
    return fingerprint.of_value(files)


def _tokenizer_file(folder: Path) -> str:
    found = (name for name in TOKENIZER_FILES if (folder / name).is_file())
    return next(found, TOKENIZER_FILES[0])


def _config(folder: Path) -> dict[str, Any]:
    value = atomic.read_json(folder / "config.json")
    if not isinstance(value, dict):
        raise UserError(f"{folder / 'config.json'}: not a configuration; fetch the bundle again")
    return value
