"""The stages of an addition: text, donors, jobs, and the one change of the bundle.

They are those of a run in small. The work lies in a folder of its own, named by what was asked, so
the same command after an interruption goes on, and after success says that it is done.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from xelm.corpus import languages as codes
from xelm.corpus import tokenizer as tokenizers
from xelm.corpus.shards import TokenShards
from xelm.ensemble import manifest as manifests
from xelm.ensemble.manifest import ExpertEntry, Manifest
from xelm.ensemble.routers.data import RouterData
from xelm.errors import UserError
from xelm.growth import columns, fit, jobs, measure, surroundings, text
from xelm.growth.columns import NewColumn
from xelm.growth.donors import SEED, Candidate, Donors, rank
from xelm.growth.measure import Texts
from xelm.growth.revisions import Change, Say, change, expert_entry, free_name
from xelm.growth.text import NewText
from xelm.storage import atomic, fingerprint
from xelm.training.job import Job

SAMPLE_BYTES = 20_000  # of dev text, to tell donors apart
_CONTEXT = 1024  # for a seed that reads more, when no ledger says what its experts were trained on


@dataclass(frozen=True)
class Request:
    """What the user asks for."""

    bundle: Path
    text: NewText
    parent: str = "auto"
    """`auto`, an expert's name, or `seed`."""
    with_donor: float = 0.5
    """Share of the donor's text in what the expert reads, where there is any."""
    tokens: int | None = None
    """Budget of the expert; None is two epochs of the new text and its kin."""
    name: str | None = None
    """Of the expert; None is the language."""
    controls: bool = True
    """Train also from the seed, and dense on the same windows with and without replay."""
    replay: float = 0.5
    """Share of old languages in what dense with replay reads."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Over those that the parent was trained with (xelm.training.settings)."""
    context: int | None = None
    run: Path | None = None
    seed: Path | None = None
    dense: Path | None = None
    work: Path | None = None
    workers: int | None = None
    """Processes to train in; 0 trains here; None is one a core, or one a GPU."""
    device: str = "cpu"
    old_text: Sequence[str] | None = None
    """Held-out text of the old languages; None is the run's, else that of xelm's reader."""
    old_bytes: int = 20_000
    """Of each old language, before and after."""

    def identity(self) -> dict[str, Any]:
        """What decides the result: the same means the same work folder."""
        value = asdict(self)
        for key in ("work", "workers", "device", "controls", "old_text", "old_bytes", "replay"):
            value.pop(key)
        value["text"] = {"language": self.text.language, "files": self.text.sizes()}
        for key in ("bundle", "run", "seed", "dense"):
            value[key] = None if value[key] is None else str(Path(value[key]).resolve())
        value["settings"] = dict(self.settings)
        return value


class Addition:
    """One addition, stage by stage; `xelm.growth.add.add` calls them in order."""

    def __init__(self, request: Request, say: Say = print) -> None:
        """Look at everything before anything heavy; UserError for what cannot work."""
        self.request, self.say = request, say
        jobs.require_share("--with-donor", request.with_donor)
        jobs.require_share("--replay", request.replay)
        self.language = codes.canonical(request.text.language)
        self.name = request.name or self.language
        self.before = manifests.read(request.bundle)
        self.data = RouterData.load(Path(request.bundle) / self.before.router.folder)
        self.around = surroundings.find(
            request.bundle,
            run=request.run,
            seed=request.seed,
            dense=request.dense,
            work=request.work,
        )
        identity = fingerprint.of_value(request.identity())
        self.work = self.around.work / f"{self.name}-{identity[:8]}"
        jobs.settings_for(self.around.bundle / self.before.experts[0].folder, request.settings, 0)
        self.tokenizer = tokenizers.load(request.bundle)
        self.context = request.context or self._context()

    @property
    def expert_folder(self) -> Path:
        """The finished expert, before it is part of the bundle."""
        return self.work / "models" / jobs.EXPERT

    def is_in(self, manifest: Manifest) -> ExpertEntry | None:
        """The expert of this very addition in a manifest, if it is there already."""
        if not self.expert_folder.is_dir():
            return None
        mine = fingerprint.of_folder(self.expert_folder)
        return next((each for each in manifest.experts if each.fingerprint == mine), None)

    def require_new(self, manifest: Manifest, data: RouterData) -> None:
        """UserError when the bundle has the language or an expert of that name."""
        if data.languages.get(self.language):
            from xelm.ensemble.routers.constant import owner

            raise UserError(
                f"language {self.language!r}: expert {owner(data.languages, self.language)!r} of "
                f"{self.request.bundle} has it already; improve that with `xelm upgrade`, or "
                "remove it first"
            )
        free_name(manifest, self.name)

    def _context(self) -> int:
        for expert in self.before.experts:
            found = fit.ledger(self.around.bundle / expert.folder).get("context")
            if found:
                return int(found)
        config = atomic.read_json(self.around.bundle / "config.json")
        return min(int(config.get("max_position_embeddings") or _CONTEXT), _CONTEXT)

    def prepare(self) -> TokenShards:
        """Text to shards: the new language's splits, and its kin's train text beside it."""
        request = self.request.text
        asked = NewText(self.language, request.train, request.dev, request.heldout, request.donor)
        own = self.work / "text"
        stats = text.build(asked, self.tokenizer, own, context=self.context)
        for language, count in stats["leaks"].items():
            self.say(f"{language}: {count} train document(s) repeat held-out text and are left out")
        text.join(own, self.around.corpus, self.work / "corpus")
        return TokenShards(self.work / "corpus", "train")

    def choose(self) -> tuple[Donors, Candidate]:
        """Rank the donors on a dev sample, once; the choice stays if the command is repeated."""
        path = self.work / "donors.json"
        if path.is_file():
            return _read_donors(path)
        sample = Texts.of_shards(
            self.work / "corpus", "dev", limit=SAMPLE_BYTES, languages=[self.language]
        )
        donors = rank(
            self.around.bundle,
            self.before,
            self.language,
            sample,
            seed=self.around.seed,
            context=self.context,
            owned=list(self.data.languages),
        )
        parent = donors.choose(self.request.parent)
        atomic.write_json(path, donors.as_json() | {"parent": parent.name})
        return donors, parent

    def kin(self, donors: Donors, parent: Candidate, shards: TokenShards) -> str | None:
        """The language trained on beside the new one; None, said aloud, when there is no text."""
        if not self.request.with_donor:
            return None
        given = [code for code in shards.languages if code != self.language]
        if self.around.corpus is None and len(given) == 1:
            return given[0]  # the user gave text of one language: that is the one
        wanted = donors.language_of(parent)
        if wanted in given:
            return wanted
        self.say(
            f"no text of the donor's language {wanted or '?'}: training on {self.language} alone "
            "(--donor-text FILES, or --run RUN, gives some)"
        )
        return None

    def plan(self, donors: Donors, parent: Candidate, shards: TokenShards) -> list[Job]:
        """The jobs, expert first; controls where they are wanted and their parent is there."""
        kin = self.kin(donors, parent, shards)
        old = [code for code in shards.languages if code in self.data.languages]
        there = shards.stats[self.language]["tokens"]
        request = self.request
        amount = jobs.budget(
            request.tokens,
            there,
            self.context,
            request.with_donor,
            request.replay,
            kin is not None,
        )
        folder = Path(parent.folder)
        tokens = (amount.new + amount.kin) * self.context
        settings = jobs.settings_for(folder, request.settings, tokens)
        jobs.write_shares(self.work, shards, self.language, kin, old)
        parents = {jobs.EXPERT: folder}
        if request.controls:
            around = {jobs.FROM_SEED: self.around.seed, jobs.DENSE: self.around.dense}
            if parent.name == SEED:
                del around[jobs.FROM_SEED]  # the expert itself is that
            parents |= {name: place for name, place in around.items() if place is not None}
        return jobs.plan(
            self.work, parents, amount, settings, self.context, old=bool(old) and bool(self.old)
        )

    @property
    def old(self) -> bool:
        """Is there text of all old languages (a run's corpus)?"""
        return self.around.corpus is not None

    def column(self, shards: TokenShards, data: RouterData) -> NewColumn:
        """The router's column of the language, from its train text."""
        return columns.fit(data, shards, self.language)

    def heldout(self) -> Texts:
        """Held-out text of the new language."""
        return Texts.of_shards(
            self.work / "corpus", "heldout", limit=None, languages=[self.language]
        )

    def commit(self, parent: Candidate, shards: TokenShards, **figures: Any) -> Manifest:
        """Make the new revision, on whatever revision is there now; again it does nothing."""
        with change(self.around.bundle, self.say) as step:
            if self.is_in(step.before) is not None:
                return step.before
            self.require_new(step.before, step.data)
            return self._commit(step, parent, shards, figures)

    def _commit(
        self, step: Change, parent: Candidate, shards: TokenShards, figures: Mapping[str, Any]
    ) -> Manifest:
        record = fit.ledger(self.expert_folder)
        tokens = fit.tokens_by_language(record)
        entry = expert_entry(
            step,
            self.expert_folder,
            self.name,
            languages=[self.language],
            tokens=tokens,
            parent=parent.name,
        )
        column = self.column(shards, step.data)
        return step.commit(
            "add",
            experts=[*step.before.experts, entry],
            data=column.grow(step.data, self.name, tokens[self.language]),
            expert=self.name,
            languages=[self.language],
            parent=parent.name,
            tokens=tokens,
            fingerprint=entry.fingerprint,
            settings={key: record["settings"][key] for key in ("batch", "learning_rate")},
            **figures,
        )

    def measure_expert(self, texts: Texts) -> float:
        """Bits per byte of the new expert on held-out text of its language."""
        return measure.of_model(self.expert_folder, texts, self.context)[self.language]


def _read_donors(path: Path) -> tuple[Donors, Candidate]:
    value = atomic.read_json(path)
    candidates = tuple(
        Candidate(**{**each, "languages": tuple(each["languages"])}) for each in value["candidates"]
    )
    nearest = tuple((str(code), float(distance)) for code, distance in value["nearest"])
    donors = Donors(value["language"], candidates, nearest, value["note"])
    return donors, donors.choose(value["parent"])
