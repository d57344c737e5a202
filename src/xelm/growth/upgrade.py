"""`xelm upgrade`: the same expert, trained further somewhere else, takes its own place."""

from pathlib import Path
from typing import Any

from xelm.ensemble.manifest import ExpertEntry, Manifest
from xelm.errors import UserError
from xelm.growth import fit
from xelm.growth.revisions import Say, change, expert_entry
from xelm.storage import fingerprint


def upgrade(
    bundle: Path, expert: str, source: Path, *, force: bool = False, say: Say | None = None
) -> Manifest:
    """Put the model in `source` in the place of `expert`; languages and router stay as they are.

    Args:
        force: also when nothing proves that `source` was trained from this expert.

    Raises:
        UserError: it does not fit the bundle, is the expert that is there, or was trained from
            something else.
    """
    source = Path(source)
    with change(bundle, say) as step:
        old = step.before.expert(expert)
        record = fit.require_expert(step.bundle, step.before, source)
        if fingerprint.of_folder(source) == old.fingerprint:
            raise UserError(f"{source}: is what expert {expert!r} is already; nothing to upgrade")
        _require_descent(step.bundle, step.before, old, source, record, force)
        new = expert_entry(
            step,
            source,
            expert,
            languages=old.languages,
            tokens=_together(old.tokens, fit.tokens_by_language(record)),
            parent=old.parent,
        )
        entries = [new if each.name == expert else each for each in step.before.experts]
        return step.commit(
            "upgrade",
            experts=entries,
            expert=expert,
            languages=old.languages,
            tokens=fit.tokens_by_language(record),
            replaced=old.fingerprint,
            fingerprint=new.fingerprint,
        )


def _together(before: dict[str, int], more: dict[str, int]) -> dict[str, int]:
    """Tokens of the whole way: what the expert had read and what it has read since."""
    languages = [*before, *(language for language in more if language not in before)]
    return {code: before.get(code, 0) + more.get(code, 0) for code in languages}


def _require_descent(
    bundle: Path,
    manifest: Manifest,
    old: ExpertEntry,
    source: Path,
    record: dict[str, Any],
    force: bool,
) -> None:
    if force or fit.parent_in(bundle, manifest, record) == old.name:
        return
    why = "its ledger names another parent" if record else "it has no ledger.json"
    raise UserError(
        f"{source}: nothing shows that it was trained from expert {old.name!r} ({why}); "
        "use `xelm adopt` for another expert, or --force if you know it was"
    )
