"""The seed of a run: from a folder or the hub, or trained from scratch as a job of its own."""

import shutil
from pathlib import Path

from xelm import plan
from xelm.config import Recipe
from xelm.errors import UserError
from xelm.launching.task import Task
from xelm.storage import atomic, manifest

_KEPT = ("*.safetensors", "*.json", "*.model", "*.txt", "*.jinja")


def source(folder: str) -> str | Path:
    """Where a recipe's `seed.folder` leads: the sample's seed, a local folder, or a hub id."""
    if folder != "sample":
        return Path(folder) if Path(folder).exists() else folder
    from xelm.corpus import sample

    return sample.seed_folder()


def place(run: Path, recipe: Recipe) -> list[Task]:
    """Put the seed into `models/seed`, or return the task that trains it; [] when it is there."""
    job = plan.seed_job(recipe)
    if job is not None:
        plan.write(run, [job])
        return plan.tasks(run, [job])
    if not plan.is_finished(run, "seed"):
        assert recipe.seed.folder is not None
        _copy(_local(source(recipe.seed.folder)), Path(run) / plan.SEED)
    return []


def require_fit(seed: str | Path, tokenizer: str | None) -> None:
    """UserError when the tokenizer to be used has more entries than the seed has embeddings.

    Args:
        seed: a folder (a hub id is not fetched for this; training checks again).
        tokenizer: the recipe's own choice; None is the one beside the seed.
    """
    config = Path(seed) / "config.json"
    if not config.is_file():
        return
    from xelm.corpus import sample
    from xelm.corpus import tokenizer as tokenizers

    if tokenizer == "sample":
        tokenizer = str(sample.seed_folder())
    rows = int(atomic.read_json(config).get("vocab_size", 0))
    tokenizers.require_fit(tokenizers.load(tokenizer or seed), rows, str(seed))


def _local(where: str | Path) -> Path:
    if isinstance(where, Path):
        return where
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(where, allow_patterns=list(_KEPT)))
    except Exception as error:  # the hub's client raises many kinds, all of which mean the same
        raise UserError(
            f"seed.folder: {where} is no local folder and does not come from the hub "
            f"({type(error).__name__}); download it first, or mend the name"
        ) from error


def _copy(folder: Path, to: Path) -> None:
    """Copy a Hugging Face folder's files, byte for byte."""
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder}: no config.json, so no model; give a Hugging Face folder")
    if (folder / manifest.MANIFEST).is_file():
        manifest.verify(folder)
    with atomic.folder(to) as temporary:
        for pattern in _KEPT:
            for path in folder.glob(pattern):
                if path.name != manifest.MANIFEST:
                    shutil.copyfile(path, temporary / path.name)
        if not list(temporary.glob("*.safetensors")):
            raise UserError(f"{folder}: no .safetensors weights; convert them first")
