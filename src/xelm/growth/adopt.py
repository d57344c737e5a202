"""`xelm adopt`: an expert that somebody else trained, with any tool, on the same seed."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from xelm.corpus import languages as codes
from xelm.ensemble.manifest import Manifest
from xelm.ensemble.routers.data import RouterData
from xelm.errors import UserError
from xelm.growth import fit
from xelm.growth.columns import NewColumn
from xelm.growth.revisions import Change, Say, change, expert_entry, free_name


def adopt(
    bundle: Path,
    source: Path,
    languages: Sequence[str],
    *,
    name: str | None = None,
    columns: Sequence[NewColumn] = (),
    take_over: bool = False,
    any_seed: bool = False,
    say: Say = print,
) -> Manifest:
    """Add the model in `source` as an expert for `languages`.

    A language that an expert owns already stays with it, unless `take_over` hands it over, router
    columns included. A new language is routed to when there is a column of it (`columns`, fitted on
    text of it); else the expert answers where the language is told.

    Raises:
        UserError: it does not fit the bundle, was trained from another seed (`any_seed` lets it
            in all the same), or would own no language.
    """
    source, wanted = Path(source), [codes.canonical(code) for code in languages]
    with change(bundle, say) as step:
        own = free_name(step.before, name or "-".join(wanted))
        record = fit.require_expert(step.bundle, step.before, source)
        parent = _parent(step, source, record, any_seed, say)
        new = [code for code in wanted if not step.data.languages.get(code)]
        taken = wanted if take_over else new
        _require_something(step.data, wanted, taken)
        tokens = fit.tokens_by_language(record) or dict.fromkeys(wanted, 0)
        data = _with_expert(
            step.data, own, taken, tokens, {each.language: each for each in columns}
        )
        _say_what_is_not_routed(data, own, taken, say)
        entry = expert_entry(step, source, own, languages=taken, tokens=tokens, parent=parent)
        return step.commit(
            "adopt",
            experts=[*step.before.experts, entry],
            data=data,
            expert=own,
            languages=taken,
            tokens=tokens,
            parent=parent,
            fingerprint=entry.fingerprint,
            took_over=sorted(set(taken) - set(new)),
        )


def _parent(
    step: Change, source: Path, record: dict[str, Any], any_seed: bool, say: Say
) -> str | None:
    """Name of what it branched from; UserError when its ledger names a seed that is not ours."""
    named = record.get("fingerprints", {}).get("seed")
    if named is None:
        say(f"{source}: no ledger names its seed; tokenizer and shapes fit, the rest is your word")
        return None
    expert = fit.parent_in(step.bundle, step.before, record)
    if expert is not None:
        return expert
    seed = fit.seed_of(step.bundle, step.before)
    if seed is None or named == seed:
        return "seed"
    if any_seed:
        return None
    raise UserError(
        f"{source / 'ledger.json'}: was trained from another seed ({named[:8]}) than this "
        f"bundle's experts ({seed[:8]}); train it from their seed, or give --any-seed"
    )


def _require_something(data: RouterData, wanted: Sequence[str], taken: Sequence[str]) -> None:
    if taken:
        return
    from xelm.ensemble.routers.constant import owner

    owned = ", ".join(f"{code} ({owner(data.languages, code)})" for code in wanted)
    raise UserError(
        f"all of its languages are owned already: {owned}; give --take-over to hand them to it, "
        "or use `xelm upgrade`"
    )


def _with_expert(
    data: RouterData,
    name: str,
    languages: Sequence[str],
    tokens: dict[str, int],
    columns: dict[str, NewColumn],
) -> RouterData:
    """The router's data with one more expert that owns `languages`."""
    grown = replace(data, experts=(*data.experts, name))
    for language in languages:
        owners = data.languages.get(language, {})
        number = max([tokens.get(language, 0), 1, *(n + 1 for n in owners.values())])
        if language in columns:
            grown = _add_column(grown, data, columns[language], name, number)
        elif owners:
            grown = hand_over(grown, language, name, number)
        owned = {**grown.languages, language: {**grown.languages.get(language, {}), name: number}}
        grown = replace(grown, languages=owned)
    return grown


def _add_column(
    grown: RouterData, before: RouterData, column: NewColumn, name: str, tokens: int
) -> RouterData:
    """`with_columns` appends the expert as well; it stands there already."""
    experts = grown.experts
    grown = replace(grown, experts=tuple(each for each in experts if each != name))
    return replace(column.grow(grown, name, tokens), experts=experts)


def hand_over(data: RouterData, language: str, name: str, tokens: int) -> RouterData:
    """The columns of a language answered for by another expert; what they recognise is the same."""
    from xelm.ensemble.routers.columns import Column

    def handed(columns: tuple[Column, ...]) -> tuple[Column, ...]:
        return tuple(
            Column(language, name, tokens) if each.language == language else each
            for each in columns
        )

    unigram = data.unigram and replace(data.unigram, columns=handed(data.unigram.columns))
    tfidf = data.tfidf and replace(data.tfidf, columns=handed(data.tfidf.columns))
    return replace(data, unigram=unigram, tfidf=tfidf)


def _say_what_is_not_routed(
    data: RouterData, name: str, languages: Sequence[str], say: Say
) -> None:
    learnt = [part for part in (data.unigram, data.tfidf) if part is not None]
    known = {c.language for part in learnt for c in part.columns if c.expert == name}
    for language in languages:
        if language not in known:
            say(
                f"{language}: the router has no text to know it by; expert {name!r} answers where "
                "the language is told (give --text to have it routed)"
            )
