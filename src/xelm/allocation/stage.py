"""The `allocate` stage: a method's outcome becomes `allocations/<name>/`, once.

allocation.json            method, settings, experts with tokens by language, owners, measures
shares/<expert>.json       the documents of each expert (xelm.corpus.share)
embedding.*                embedding and centroids for routers (xelm.allocation.routing_file)
measured.json              sizes, balance, purity, typical terms, what the method measured
languages.png              languages by experts, as a picture
...                        the method's own files, such as its tree
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xelm.allocation import columns, picture, registry
from xelm.allocation.measure import measure
from xelm.allocation.result import Allocation
from xelm.allocation.settings import AllocationSettings
from xelm.corpus.shards import TokenShards
from xelm.corpus.share import Share
from xelm.errors import UserError
from xelm.storage import atomic

Say = Callable[[str], None]


def allocate(
    settings: AllocationSettings, corpus: Path, folder: Path, *, say: Say = print
) -> dict[str, Any]:
    """Allocate the train split of a corpus; returns the content of allocation.json.

    Raises:
        UserError: k is too large, or the folder holds an allocation of other settings or corpus.
    """
    shards = TokenShards(corpus, "train")
    if (folder / "allocation.json").is_file():
        return _recognise(settings, shards, folder)
    require_possible(settings, shards)
    outcome = registry.method(settings.method)(shards, settings, say)
    check_cover(outcome, shards)
    shares = {name: Share.of(shards, documents) for name, documents in outcome.experts.items()}
    with atomic.folder(folder) as temporary:
        value = describe(settings, shards, outcome, shares)
        for name, share in shares.items():
            share.save(temporary / "shares" / f"{name}.json")
        if outcome.save is not None:
            outcome.save(temporary)
        columns.routing_file(shards, outcome, settings.seed).save(temporary)
        measured, tokens = measure(shards, outcome)
        picture.heat_map(shards.languages, list(shares), tokens, temporary / "languages.png")
        value["measured"] = measured
        atomic.write_json(temporary / "measured.json", measured)
        atomic.write_json(temporary / "allocation.json", value)
    return value


def require_possible(settings: AllocationSettings, shards: TokenShards) -> None:
    """UserError when there are fewer languages (or documents) than experts."""
    if settings.k is None:
        return
    if settings.method == "typology" and settings.k > len(shards.languages):
        raise UserError(
            f"k: {settings.k} experts for {len(shards.languages)} languages "
            f"({', '.join(shards.languages)}); give a smaller k"
        )
    documents = sum(shards.count(language) for language in shards.languages)
    if settings.k > documents:
        raise UserError(f"k: {settings.k} experts for {documents} documents; give a smaller k")


def describe(
    settings: AllocationSettings,
    shards: TokenShards,
    outcome: Allocation,
    shares: Mapping[str, Share],
) -> dict[str, Any]:
    """The content of allocation.json."""
    tokens = {
        name: {language: share.token_count(language) for language in share.languages}
        for name, share in shares.items()
    }
    return {
        "method": settings.method,
        "settings": settings.model_dump(mode="json"),
        "k": len(shares),
        "experts": {
            name: {
                "languages": tokens[name],
                "tokens": sum(tokens[name].values()),
                "documents": sum(len(share.documents(code)) for code in share.languages),
            }
            for name, share in shares.items()
        },
        "owner": owners(tokens),
        "corpus": shards.fingerprint,
        **outcome.about,
    }


def owners(tokens: Mapping[str, Mapping[str, int]]) -> dict[str, str]:
    """Language -> the expert with most of its tokens (the first by name among equals)."""
    languages = sorted({language for held in tokens.values() for language in held})
    return {
        language: min(tokens, key=lambda expert: (-tokens[expert].get(language, 0), expert))
        for language in languages
    }


def check_cover(outcome: Allocation, shards: TokenShards) -> None:
    """Assert that every document belongs to exactly one expert."""
    for language in shards.languages:
        total = np.zeros(shards.count(language), dtype=np.int64)
        for documents in outcome.experts.values():
            if language in documents:
                chosen = documents[language]
                total[slice(None) if chosen is None else chosen] += 1
        assert (total == 1).all(), f"{language}: a document without expert, or with two"


def _recognise(settings: AllocationSettings, shards: TokenShards, folder: Path) -> dict[str, Any]:
    value: dict[str, Any] = atomic.read_json(folder / "allocation.json")
    now = settings.model_dump(mode="json")
    for key in sorted(now.keys() | value["settings"].keys()):
        if now.get(key) != value["settings"].get(key):
            raise UserError(
                f"{folder}: was made with {key} = {value['settings'].get(key)!r}, now it is "
                f"{now.get(key)!r}; give the allocation another name, or set it back"
            )
    if value["corpus"] != shards.fingerprint:
        raise UserError(f"{folder}: was made from another corpus; remove it and allocate again")
    return value
