"""`xelm remove`: a revision without one expert. Its folder stays until `xelm prune`."""

from dataclasses import replace
from pathlib import Path

from xelm.ensemble.manifest import Manifest
from xelm.ensemble.routers.data import RouterData
from xelm.errors import UserError
from xelm.growth.revisions import Say, change


def remove(bundle: Path, expert: str, *, say: Say | None = None) -> Manifest:
    """Take an expert and its router columns out; the languages only it had are gone with it.

    Raises:
        UserError: there is no such expert, or it is the last one.
    """
    with change(bundle, say) as step:
        entry = step.before.expert(expert)
        if len(step.before.experts) == 1:
            raise UserError(f"{expert}: is the last expert of {bundle}; a bundle needs one")
        data = with_heirs(step.data.without(expert))
        return step.commit(
            "remove",
            experts=[each for each in step.before.experts if each.name != expert],
            data=data,
            expert=expert,
            languages=sorted(set(step.data.languages) - set(data.languages)),
            fingerprint=entry.fingerprint,
        )


def with_heirs(data: RouterData) -> RouterData:
    """A language that lost its owner goes to an expert that has a column of it, if there is one."""
    columns = [
        *(data.unigram.columns if data.unigram else ()),
        *(data.tfidf.columns if data.tfidf else ()),
    ]
    owned = {language: dict(experts) for language, experts in data.languages.items()}
    for column in columns:
        if column.language is not None and not data.languages.get(column.language):
            owned.setdefault(column.language, {})[column.expert] = column.tokens
    return replace(data, languages=owned)
