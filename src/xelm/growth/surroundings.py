"""What lies around a bundle: the run it came from, the seed, dense, and where growth may work.

A bundle in `runs/<name>/bundles/` finds them by itself. One that travelled alone knows its seed by
fingerprint only; the user may point to the folders, and what is not there is said, not invented.
"""

from dataclasses import dataclass
from pathlib import Path

from xelm.ensemble import manifest as manifests
from xelm.ensemble.manifest import Manifest
from xelm.errors import UserError
from xelm.growth import fit
from xelm.storage import fingerprint
from xelm.storage import manifest as contents


@dataclass(frozen=True)
class Surroundings:
    """Folders that growth reads and the one that it works in; None where there is nothing."""

    bundle: Path
    run: Path | None
    seed: Path | None
    dense: Path | None
    work: Path
    """Where additions keep their text, jobs and models."""

    @property
    def corpus(self) -> Path | None:
        """The run's corpus."""
        return self.run / "corpus" if self.run is not None else None


def find(
    bundle: Path,
    *,
    run: Path | None = None,
    seed: Path | None = None,
    dense: Path | None = None,
    work: Path | None = None,
) -> Surroundings:
    """Look around a bundle; folders given by the user win.

    Raises:
        UserError: a folder that was given is not there, or a seed is not this bundle's.
    """
    bundle = Path(bundle)
    manifest = manifests.read(bundle)
    home = _given_run(run) if run is not None else _home(bundle)
    return Surroundings(
        bundle=bundle,
        run=home,
        seed=_seed(bundle, manifest, seed, home),
        dense=_model(dense, home, "dense"),
        work=Path(work) if work is not None else _work(bundle, home),
    )


def _home(bundle: Path) -> Path | None:
    """The run that a bundle lies in: `run/bundles/<name>`."""
    run = bundle.resolve().parent.parent
    lies = bundle.resolve().parent.name == "bundles" and (run / "corpus" / "stats.json").is_file()
    return run if lies else None


def _given_run(run: Path) -> Path:
    if not (Path(run) / "corpus" / "stats.json").is_file():
        raise UserError(f"{run}: no run here (no corpus/stats.json); give the run's folder")
    return Path(run)


def _work(bundle: Path, home: Path | None) -> Path:
    name = bundle.resolve().name
    if home is not None:
        return home / "growth" / name
    return bundle.resolve().parent / f"{name}.growth"


def _model(given: Path | None, home: Path | None, name: str) -> Path | None:
    if given is not None:
        if not (Path(given) / "config.json").is_file():
            raise UserError(f"{given}: no model here (no config.json); give its folder")
        return Path(given)
    found = home / "models" / name if home is not None else None
    return found if found is not None and (found / contents.MANIFEST).is_file() else None


def _seed(bundle: Path, manifest: Manifest, given: Path | None, home: Path | None) -> Path | None:
    if manifest.seed is not None and manifest.seed.folder is not None and given is None:
        return bundle / manifest.seed.folder
    folder = _model(given, home, "seed")
    if folder is None or _is_seed(bundle, manifest, folder):
        return folder
    if given is not None:
        raise UserError(
            f"{given}: not the seed of {bundle} (fingerprints differ); give the one that its "
            "experts branched from"
        )
    return None


def _is_seed(bundle: Path, manifest: Manifest, folder: Path) -> bool:
    """By the fingerprint the bundle keeps, or by the weights that its experts' ledgers name."""
    named = fit.seed_of(bundle, manifest)
    if manifest.seed is None and named is None:
        return True  # nothing says what the seed was: shapes are checked where it is trained
    kept = manifest.seed.fingerprint if manifest.seed is not None else None
    return kept == fingerprint.of_folder(folder) or named == fit.weights_of(folder)
