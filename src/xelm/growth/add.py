"""`xelm add`: a new language as a new expert, branched from its nearest, all else left alone.

    add(Request(bundle, NewText("pl", ["pl.txt"])))

Run again it goes on, or says it is done. Training holds no lock; the bundle is changed once, on the
revision that is there when the expert is finished, so two additions may run side by side.
"""

from pathlib import Path

from xelm.ensemble import manifest as manifests
from xelm.ensemble.routers.data import RouterData
from xelm.growth import comparison
from xelm.growth.addition import Addition
from xelm.growth.comparison import Comparison
from xelm.growth.measure import BundleFigures
from xelm.growth.request import Request
from xelm.growth.revisions import Say
from xelm.storage import atomic, disk

__all__ = ["Request", "add"]


def add(request: Request, *, say: Say = print) -> Comparison:
    """Train the expert (and its controls), put it into the bundle, and compare.

    Raises:
        UserError: for every fault of what was asked, before anything is trained.
    """
    addition = Addition(request, say)
    manifest = manifests.read(request.bundle)
    report = addition.work / "report.json"
    if addition.is_in(manifest) and report.is_file():
        say(f"{addition.language}: is in {request.bundle} already (expert {addition.name})")
        return Comparison.from_json(atomic.read_json(report))
    before, where = _before(addition)
    shards = addition.prepare()
    donors, parent = addition.choose(shards)
    say(f"{addition.language}: branching from {parent.name} ({parent.bits_per_byte:.3f} bits/byte)")
    planned = addition.plan(donors, parent, shards)
    tokens = ", ".join(f"{job.name} {job.tokens:,}" for job in planned)
    say(f"tokens to train on: {tokens}")
    disk.require(addition.work, _room(parent.folder, len(planned)), "the new expert and controls")
    addition.train(planned)
    figure = addition.measure_expert(addition.heldout())
    after = addition.commit(parent, shards, bits_per_byte={addition.language: figure})
    say(
        f"{request.bundle}: revision {after.revision}, expert {addition.name}; nothing else changed"
    )
    made = comparison.compare(addition, donors, parent, after, before, where)
    atomic.write_json(report, made.as_json())
    return made


def _before(addition: Addition) -> tuple[BundleFigures, str]:
    """The figures to compare with: of the revision before this addition, also when it goes on."""
    path = addition.work / "before.json"
    if path.is_file():
        number = int(atomic.read_json(path)["revision"])
        addition.before = manifests.revision(addition.around.bundle, number)
        folder = addition.around.bundle / addition.before.router.folder
        addition.data = RouterData.load(folder)
    else:
        addition.require_new(addition.before, addition.data)
        atomic.write_json(path, {"revision": addition.before.revision})
    return comparison.figures_before(addition)


def _room(parent: str, models: int) -> int:
    """Bytes that the models and one training state of each take."""
    weights = sum(path.stat().st_size for path in Path(parent).glob("*.safetensors"))
    return 20 * models * weights
