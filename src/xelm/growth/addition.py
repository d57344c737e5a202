"""The stages of an addition: text, donors, jobs, and the one change of the bundle.

They are those of a run in small. The work lies in a folder of its own, named by what was asked, so
the same command after an interruption goes on, and after success says that it is done.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xelm.corpus import languages as codes
from xelm.corpus import tokenizer as tokenizers
from xelm.corpus.shards import TokenShards
from xelm.ensemble import manifest as manifests
from xelm.ensemble.manifest import ExpertEntry, Manifest
from xelm.ensemble.routers.data import RouterData
from xelm.errors import UserError
from xelm.growth import columns, fit, jobs, measure, surroundings, text, workers
from xelm.growth.columns import NewColumn
from xelm.growth.donors import SEED, Candidate, Donors, rank
from xelm.growth.measure import Texts
from xelm.growth.request import Request
from xelm.growth.revisions import Change, Say, change, expert_entry, free_name
from xelm.growth.text import NewText
from xelm.storage import atomic, fingerprint
from xelm.training.job import Job
from xelm.training.settings import ArmSettings

SAMPLE_BYTES = 20_000  # of dev text, to tell donors apart
_CONTEXT = 1024  # for a seed that reads more, when no ledger says what its experts were trained on


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
        self.settings(0)
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

    def choose(self, shards: TokenShards) -> tuple[Donors, Candidate]:
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
        if self.request.probe and self.request.parent == "auto":
            donors = self._probe(donors, sample, shards)
        parent = donors.choose(self.request.parent)
        atomic.write_json(path, donors.as_json() | {"parent": parent.name})
        atomic.remove_leftovers(self.work)
        if (self.work / "models" / jobs.PROBE).is_dir():
            atomic.discard(self.work / "models" / jobs.PROBE)
        return donors, parent

    def _probe(self, donors: Donors, sample: Texts, shards: TokenShards) -> Donors:
        """Train every candidate a little on the new text, and measure the sample again."""
        jobs.write_shares(self.work, shards, self.language, None, [])
        settings = self.settings(self.request.probe)
        folders = {each.name: Path(each.folder) for each in donors.candidates}
        self.train(jobs.probes(self.work, folders, self.request.probe, settings, self.context))
        return donors.probed(
            {
                name: measure.of_model(
                    self.work / "models" / jobs.PROBE / name, sample, self.context
                )[self.language]
                for name in folders
            }
        )

    def settings(self, tokens: int) -> ArmSettings:
        """Those of the bundle's first expert with the user's changes, whatever the parent is.

        Not the seed's own: those are of a training from scratch.
        """
        expert = self.around.bundle / self.before.experts[0].folder
        return jobs.settings_for(expert, self.request.settings, tokens)

    def train(self, planned: Sequence[Job]) -> None:
        """Train jobs that are not finished."""
        workers.train(
            self.work,
            planned,
            workers=self.request.workers,
            device=self.request.device,
            title=self.language,
            say=self.say,
        )

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
        settings = self.settings((amount.new + amount.kin) * self.context)
        jobs.write_shares(self.work, shards, self.language, kin, old)
        parents = {jobs.EXPERT: Path(parent.folder)}
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
        return columns.fit(data, shards, self.language, TokenShards(self.work / "corpus", "dev"))

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
