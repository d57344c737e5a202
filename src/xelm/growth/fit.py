"""Does an expert made elsewhere belong to this bundle? Asked of its files, not of its word.

Same tokenizer and same shapes are demanded; where both sides name the seed they branched from,
the same seed too. What cannot be known is said, not guessed.
"""

from pathlib import Path
from typing import Any

from xelm.ensemble.manifest import Manifest
from xelm.ensemble.verify import require_same_shape, require_same_tokenizer
from xelm.errors import UserError
from xelm.storage import atomic
from xelm.storage import manifest as contents

_WEIGHTS = ".safetensors"


def require_expert(bundle: Path, manifest: Manifest, folder: Path) -> dict[str, Any]:
    """Refuse a folder that is no expert of this bundle; returns its ledger ({} when it has none).

    Raises:
        UserError: naming the file that is missing, damaged, or of another tokenizer or shape.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder}: no model here (no config.json); give a Hugging Face folder")
    if not any(path.suffix == _WEIGHTS for path in folder.iterdir()):
        raise UserError(
            f"{folder}: holds no .safetensors; save the model with safe_serialization, xelm reads "
            "no other weights"
        )
    if (folder / contents.MANIFEST).is_file():
        contents.verify(folder)
    config = atomic.read_json(Path(bundle) / "config.json")
    require_same_shape(config.get("expert") or {}, folder, Path(bundle))
    require_same_tokenizer(manifest.tokenizer, folder, Path(bundle))
    _require_same_tensors(folder, Path(bundle) / manifest.experts[0].folder)
    return ledger(folder)


def ledger(folder: Path) -> dict[str, Any]:
    """The folder's ledger.json, {} when it was trained with another tool."""
    path = Path(folder) / "ledger.json"
    value = atomic.read_json(path) if path.is_file() else {}
    return value if isinstance(value, dict) else {}


def shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor in the folder's .safetensors, read from their headers."""
    from safetensors import SafetensorError, safe_open

    found: dict[str, tuple[int, ...]] = {}
    for path in sorted(Path(folder).glob(f"*{_WEIGHTS}")):
        try:
            with safe_open(path, framework="numpy") as file:
                found |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise UserError(f"{path}: not a safetensors file ({error})") from error
    return found


def _require_same_tensors(folder: Path, beside: Path) -> None:
    mine, theirs = shapes(folder), shapes(beside)
    for name in sorted(mine.keys() | theirs.keys()):
        if mine.get(name) != theirs.get(name):
            raise UserError(
                f"{folder}: tensor {name} is {_shown(mine.get(name))}, {_shown(theirs.get(name))} "
                "in this bundle's experts; it is not of the same seed"
            )


def _shown(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else "x".join(map(str, shape))


def weights_of(folder: Path) -> str:
    """The fingerprint by which a ledger names its parent: the weights and config alone."""
    from xelm.training.inputs import weights_fingerprint

    return weights_fingerprint(Path(folder))


def parent_in(bundle: Path, manifest: Manifest, record: dict[str, Any]) -> str | None:
    """The expert of the bundle that a ledger's model branched from; None when it is none of them.

    A ledger names its parent by the fingerprint of the weights, so a renamed folder is recognised.
    """
    wanted = record.get("fingerprints", {}).get("seed")
    if wanted is None:
        return None
    for expert in manifest.experts:
        if weights_of(Path(bundle) / expert.folder) == wanted:
            return expert.name
    return None


def seed_of(bundle: Path, manifest: Manifest) -> str | None:
    """What the bundle's own experts call their seed; None when no ledger says so."""
    for expert in manifest.experts:
        record = ledger(Path(bundle) / expert.folder)
        wanted = record.get("fingerprints", {}).get("seed")
        if wanted is not None and expert.parent in ("seed", None):
            return str(wanted)
    return None


def tokens_by_language(record: dict[str, Any]) -> dict[str, int]:
    """Tokens a ledger says the model was trained on, by language."""
    return {str(code): int(n) for code, n in record.get("tokens_by_language", {}).items()}
