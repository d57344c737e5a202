"""`xelm pack` and `xelm collect`: an expert trains on someone else's machine and comes home.

A pack is a run folder that holds one job: the parent model, the tokenizer, the documents of its
share and nothing else. Documents keep their order, so the windows, their order and the result are
those of home, to the bit. At home the expert is checked by what it consumed: the multiset hash of
its windows must be the one that its job gives here.
"""

import shutil
from pathlib import Path

from xelm.corpus import windows_hash
from xelm.corpus.shards import TokenShards
from xelm.corpus.share import Share
from xelm.errors import UserError
from xelm.storage import atomic, fingerprint, manifest
from xelm.storage.lock import Lock
from xelm.training import extract, packed
from xelm.training.events import Finished, Report, ignore
from xelm.training.inputs import Inputs, open_inputs
from xelm.training.job import Job, spec_path

_WINDOWS_AT_ONCE = 256


def pack(run: Path, name: str, out: Path) -> None:
    """Write job `name` of `run` with all it needs to the new folder `out`.

    `xelm train OUT` trains it anywhere. Raises UserError when `out` exists or the job's inputs are
    not there.
    """
    run = Path(run)
    job = Job.load(run, name)
    inputs = open_inputs(run, job)
    shards = TokenShards(run / job.corpus, "train")
    with atomic.folder(Path(out)) as temporary:
        corpus = temporary / "corpus"
        chosen = extract.documents(shards, inputs.shares, corpus)
        shutil.copytree(run / job.corpus / "tokenizer", corpus / "tokenizer")
        manifest.write(corpus)
        _write_job(temporary, job, inputs, chosen)
        if job.parent is not None:
            shutil.copytree(run / job.parent, temporary / job.parent)
        atomic.write_json(temporary / packed.FILE, _names(job, inputs))


def _names(job: Job, inputs: Inputs) -> dict[str, object]:
    return {
        "format": 1,
        "job": job.name,
        "corpus": inputs.fingerprints["corpus"],
        "shares": inputs.share_names,
    }


def _write_job(folder: Path, job: Job, inputs: Inputs, chosen: dict[str, extract.Chosen]) -> None:
    """The job and its shares, their documents counted anew in the smaller corpus."""
    there = TokenShards(folder / "corpus", "train")
    value = job.as_json()
    value["corpus"] = "corpus"
    for number, share in enumerate(inputs.shares):
        path = f"shares/{number}.json"
        documents = {
            language: extract.renumbered(share, language, chosen[language])
            for language in share.languages
        }
        Share.of(there, documents).save(folder / path)
        value["sources"][number]["share"] = path
    atomic.write_json(spec_path(folder, job.name), value)


def collect(run: Path, folder: Path, *, report: Report = ignore) -> str:
    """Bring the finished expert of a pack home into `models/`; returns the job's name.

    Raises UserError when it is not finished, damaged, or was trained from another seed, share,
    tokenizer, corpus or settings than `run` has for this job.
    """
    run, folder = Path(run), Path(folder)
    name = packed.job_name(folder)
    job = Job.load(run, name)
    source, target = folder / "models" / name, run / "models" / name
    if not source.is_dir():
        raise UserError(f"{source}: not finished yet; go on with `xelm train {folder}`")
    manifest.verify(source)
    with Lock(spec_path(run, name).parent / "lock"):
        if target.is_dir():
            _require_equal(source, target)
            report(Finished(name, 0.0, already=True))
            return name
        _require_ours(source, open_inputs(run, job))
        atomic.remove_leftovers(target.parent)
        with atomic.folder(target) as temporary:
            shutil.copytree(
                source,
                temporary,
                ignore=shutil.ignore_patterns(manifest.MANIFEST),
                dirs_exist_ok=True,
            )
    report(Finished(name, 0.0, already=False))
    return name


def _require_equal(source: Path, target: Path) -> None:
    weights = [fingerprint.of_file(path / "model.safetensors") for path in (source, target)]
    if weights[0] != weights[1]:
        raise UserError(f"{target}: is there already, with other weights; remove it to replace it")


def _require_ours(source: Path, inputs: Inputs) -> None:
    ledger = atomic.read_json(source / "ledger.json")
    theirs = ledger["fingerprints"]
    for what, value in inputs.fingerprints.items():
        if theirs.get(what) != value:
            raise UserError(
                f"{source}: was trained with another {what} than {inputs.paths[what]}; "
                "pack and train it again"
            )
    if ledger["windows_hash"] != expected_hash(inputs):
        raise UserError(
            f"{source}: was trained on other windows than its share {inputs.paths['share']} holds; "
            "pack and train it again"
        )


def expected_hash(inputs: Inputs) -> str:
    """The multiset hash of all windows that the job consumes, in hex."""
    total = 0
    for start in range(0, inputs.order.total, _WINDOWS_AT_ONCE):
        total = windows_hash.add(total, inputs.windows(start, start + _WINDOWS_AT_ONCE))
    return windows_hash.to_hex(total)
