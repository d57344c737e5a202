"""What an addition changed, in figures: the new language under every arm, the old ones before and
after.

Own-expert figures of old languages must be equal to the last digit, because no file of theirs was
touched; they are measured twice all the same. Routed figures may move, since a new column competes.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from xelm.corpus import sample
from xelm.ensemble.manifest import Manifest
from xelm.growth import fit, jobs, measure
from xelm.growth.addition import Addition
from xelm.growth.columns import NewColumn
from xelm.growth.donors import SEED, Candidate, Donors
from xelm.growth.measure import BundleFigures, Texts

_MUCH_UNSEEN = 0.3  # part of the new text
ROUTED_BYTES = 200_000  # of each old language, read by the router alone


@dataclass(frozen=True)
class Arm:
    """One model on held-out text of the new language."""

    name: str
    bits_per_byte: float
    tokens: int = 0
    """Trained on in this addition."""
    new_tokens: int = 0
    """Of them in the new language."""


@dataclass(frozen=True)
class OldLanguage:
    """An old language before and after: bits per byte, and where the router sends its text."""

    own: tuple[float, float]
    routed: tuple[float, float]
    documents: int
    newly_routed: int
    """Documents that the new expert is first for, once they are read, and was not before."""
    dense: tuple[float, ...] = ()
    """Dense before, continued, and continued with replay, as far as they were trained."""


@dataclass
class Comparison:
    """The report of an addition."""

    language: str
    expert: str
    parent: str
    revision: int
    donors: dict[str, Any]
    arms: list[Arm]
    routed: float
    """The new language as the bundle routes it, not told the language."""
    recognised: tuple[int, int]
    """Of the held-out documents of the new language: the new expert first, all."""
    old: dict[str, OldLanguage]
    old_text: str
    """Where the text of the old languages is from."""
    bytes_per_token: dict[str, float]
    blind: float | None
    """Part of the new tokens that the router's embedding cannot see."""
    notes: list[str] = field(default_factory=list)

    def own_unchanged(self) -> bool:
        """Is every old language's own-expert figure the same to the last digit?"""
        return all(each.own[0] == each.own[1] for each in self.old.values())

    def newly_routed(self) -> tuple[int, int]:
        """Old documents that went to the new expert, and all."""
        return (
            sum(each.newly_routed for each in self.old.values()),
            sum(each.documents for each in self.old.values()),
        )

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Comparison":
        """The inverse of `as_json`."""
        arms = [Arm(**each) for each in value["arms"]]
        old = {code: OldLanguage(**each) for code, each in value["old"].items()}
        return cls(**{**value, "arms": arms, "old": old})


def old_texts(addition: Addition) -> tuple[Texts, str]:
    """Held-out text of the old languages (user, run or reader), and where it is from."""
    request, owned = addition.request, list(addition.data.languages)
    if request.old_text:
        from xelm.corpus import readers

        found = (d for d in readers.read(request.old_text) if d.language in owned)
        texts = Texts.of_documents(found, addition.tokenizer, limit=ROUTED_BYTES)
        return texts, "the files given"
    if addition.around.corpus is not None:
        texts = Texts.of_shards(
            addition.around.corpus, "heldout", limit=ROUTED_BYTES, languages=owned
        )
        return texts, "the run's held-out text"
    known = [code for code in owned if code in (*sample.languages(), *sample.UNSEEN)]
    passages = sample.documents("heldout", known)
    texts = Texts.of_documents(passages, addition.tokenizer, limit=ROUTED_BYTES)
    return texts, "the reader that comes with xelm" if known else ""


def compare(
    addition: Addition,
    donors: Donors,
    parent: Candidate,
    after: Manifest,
    before: BundleFigures,
    where: str,
) -> Comparison:
    """Measure every arm on the new language, and the old languages again.

    Args:
        after: the manifest with the new expert.
        before: the bundle as it was, with the old texts; `where` they are from.
    """
    heldout, bundle = addition.heldout(), addition.around.bundle
    context, language = addition.context, addition.language
    now = BundleFigures(bundle, after, before.every, context, addition.request.old_bytes)
    new = BundleFigures(bundle, after, heldout, context)
    first = new.first()[language]
    column = addition.column(addition.prepare(), addition.data)
    return Comparison(
        language=language,
        expert=addition.name,
        parent=parent.name,
        revision=after.revision,
        donors=donors.as_json(),
        arms=list(_arms(addition, parent, heldout)),
        routed=new.routed()[language],
        recognised=(first.count(addition.name), len(first)),
        old=_old(addition, before, now),
        old_text=where,
        bytes_per_token=_bytes_per_token(before.texts, heldout),
        blind=column.blind,
        notes=[*_notes(addition, where), *_blindness(after, column)],
    )


def _arms(addition: Addition, parent: Candidate, heldout: Texts) -> Any:
    context, language = addition.context, addition.language

    def figure(folder: Path) -> float:
        return measure.of_model(folder, heldout, context)[language]

    if addition.around.seed is not None:
        yield Arm("seed", figure(addition.around.seed))
    if parent.name != SEED:
        yield Arm(f"{parent.name} before", figure(Path(parent.folder)))
    titles = {
        jobs.EXPERT: f"expert from {parent.name}",
        jobs.FROM_SEED: "expert from seed",
        jobs.DENSE: "dense, same windows",
        jobs.REPLAY: "dense, with replay",
    }
    for name, title in titles.items():
        folder = addition.work / "models" / name
        if name == jobs.DENSE and addition.around.dense is not None:
            yield Arm("dense before", figure(addition.around.dense))
        if folder.is_dir():
            tokens = fit.tokens_by_language(fit.ledger(folder))
            yield Arm(title, figure(folder), sum(tokens.values()), tokens.get(language, 0))


def _old(addition: Addition, before: BundleFigures, now: BundleFigures) -> dict[str, OldLanguage]:
    own, routed = (before.own(), now.own()), (before.routed(), now.routed())
    first_before, first_now = before.first(), now.first()
    dense = _dense(addition, before.texts)
    return {
        language: OldLanguage(
            own=(own[0][language], own[1][language]),
            routed=(routed[0][language], routed[1][language]),
            documents=len(first_now[language]),
            newly_routed=sum(
                new == addition.name != old
                for old, new in zip(first_before[language], first_now[language], strict=True)
            ),
            dense=tuple(figures[language] for figures in dense),
        )
        for language in before.texts.languages
    }


def _dense(addition: Addition, texts: Texts) -> list[dict[str, float]]:
    folders = [addition.work / "models" / name for name in (jobs.DENSE, jobs.REPLAY)]
    trained = [folder for folder in folders if folder.is_dir()]
    if addition.around.dense is None or not trained or not texts.languages:
        return []
    every = [addition.around.dense, *trained]
    return [measure.of_model(folder, texts, addition.context) for folder in every]


def _bytes_per_token(old: Texts, new: Texts) -> dict[str, float]:
    found = {}
    for texts in (old, new):
        for language in texts.languages:
            tokens = sum(len(ids) for ids in texts.ids[language])
            found[language] = sum(texts.bytes[language]) / max(1, tokens)
    return found


def _notes(addition: Addition, where: str) -> list[str]:
    notes = []
    if not where:
        notes.append(
            "old languages not measured: no held-out text of them (--old-text FILES, or --run RUN)"
        )
    if addition.around.seed is None:
        notes.append("not compared with the seed: it is not here (--seed FOLDER)")
    if addition.around.dense is None:
        notes.append("not compared with dense: none here (--dense FOLDER, or --run RUN)")
    if not addition.request.controls:
        notes.append("controls were not trained (--controls trains them)")
    return notes


def _blindness(after: Manifest, column: NewColumn) -> list[str]:
    """A router that cannot see the language should not be the one that decides."""
    if after.router.kind != "tfidf" or (column.blind or 0.0) < _MUCH_UNSEEN:
        return []
    return [
        "this bundle routes by tfidf, whose embedding sees little of the new text; the unigram "
        "router does (router=unigram)"
    ]


def figures_before(addition: Addition) -> tuple[BundleFigures, str]:
    """The bundle as it is before the addition, on text of the old languages."""
    texts, where = old_texts(addition)
    bundle, limit = addition.around.bundle, addition.request.old_bytes
    return BundleFigures(bundle, addition.before, texts, addition.context, limit), where
