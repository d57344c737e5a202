"""`xelm add|remove|upgrade|adopt|log|checkout|prune|publish|lineage`: a bundle that grows."""

import os
from pathlib import Path
from typing import Annotated

import typer

Bundle = Annotated[Path, typer.Argument(help="The bundle's folder.", metavar="BUNDLE")]
Expert = Annotated[str, typer.Argument(help="The expert's name.", metavar="EXPERT")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Files = list[str] | None


def add(
    bundle: Bundle,
    language: Annotated[str, typer.Option(help="Code of the new language, e.g. pl.")],
    text: Annotated[
        list[str], typer.Option(help="Its text: files, folders, globs; or sample, the reader.")
    ],
    dev: Annotated[Files, typer.Option(help="Own dev text; default: split from --text.")] = None,
    heldout: Annotated[Files, typer.Option(help="Own held-out text; default: split.")] = None,
    parent: Annotated[
        str, typer.Option(help="Branch from: auto (lowest bits per byte), an expert, or seed.")
    ] = "auto",
    probe: Annotated[
        int, typer.Option(help="Tokens to try every candidate on before auto compares them.")
    ] = 0,
    with_donor: Annotated[
        float, typer.Option(help="Share of the donor language's text in training; 0 for none.")
    ] = 0.5,
    donor_text: Annotated[
        Files, typer.Option(help="The donor's text; default: the corpus of the bundle's run.")
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(help="Budget of the expert; default: two epochs of the text.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the expert; default: language.")] = None,
    controls: Annotated[
        bool, typer.Option(help="Train the controls too: from the seed, and dense.")
    ] = True,
    replay: Annotated[
        float, typer.Option(help="Share of old languages in dense with replay.")
    ] = 0.5,
    set_: Annotated[
        Files, typer.Option("--set", help="A training setting: batch=16 (repeatable).")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="The run it came from, if elsewhere.")] = None,
    seed: Annotated[Path | None, typer.Option(help="The seed's folder, if elsewhere.")] = None,
    dense: Annotated[Path | None, typer.Option(help="A dense model to compare with.")] = None,
    old_text: Annotated[
        Files, typer.Option(help="Held-out text of old languages; default: the run's.")
    ] = None,
    old_bytes: Annotated[int, typer.Option(help="Of each old language to measure.")] = 3_000,
    work: Annotated[Path | None, typer.Option(help="Where to keep the work.")] = None,
    workers: Annotated[int | None, typer.Option(help="Default: one a core, or a GPU.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    json: Json = False,
) -> None:
    """Add a language as a new expert; all other experts stay as they are, byte for byte."""
    _wait_politely()
    from xelm.growth.add import Request
    from xelm.growth.add import add as add_language
    from xelm.growth.settings import overrides
    from xelm.growth.text import NewText

    made = add_language(
        Request(
            bundle=bundle,
            text=NewText(language, text, dev or None, heldout or None, donor_text or None),
            parent=parent,
            probe=probe,
            with_donor=with_donor,
            tokens=tokens,
            name=name,
            controls=controls,
            replay=replay,
            settings=overrides(set_ or []),
            run=run,
            seed=seed,
            dense=dense,
            work=work,
            workers=workers,
            device=device,
            old_text=old_text or None,
            old_bytes=old_bytes,
        ),
        say=_aside if json else _say,
    )
    _write_card(bundle)
    if json:
        _print_json(made.as_json())
    else:
        from xelm.growth.table import render

        _print(render(made))


def remove(bundle: Bundle, expert: Expert) -> None:
    """Take an expert out; its folder stays until `xelm prune`."""
    from xelm.growth.remove import remove as remove_expert

    _done(bundle, remove_expert(bundle, expert, say=_say).revision, f"without {expert}")


def upgrade(
    bundle: Bundle,
    expert: Expert,
    source: Annotated[Path, typer.Option("--from", help="The same expert, trained further.")],
    force: Annotated[
        bool, typer.Option("--force", help="Also when nothing shows that it is the same.")
    ] = False,
) -> None:
    """Put an expert that was trained further elsewhere in its own place."""
    from xelm.growth.upgrade import upgrade as upgrade_expert

    after = upgrade_expert(bundle, expert, source, force=force, say=_say)
    _done(bundle, after.revision, f"{expert} upgraded")


def adopt(
    bundle: Bundle,
    expert: Annotated[Path, typer.Option(help="Folder of a model trained on the same seed.")],
    languages: Annotated[str, typer.Option(help="Its languages: pl or pl,cs.")],
    name: Annotated[str | None, typer.Option(help="Default: its languages.")] = None,
    text: Annotated[
        Files, typer.Option(help="Text of its new languages, so that they can be routed.")
    ] = None,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Give it languages that others own, too.")
    ] = False,
    any_seed: Annotated[
        bool, typer.Option("--any-seed", help="Also when it was trained from another seed.")
    ] = False,
) -> None:
    """Add an expert that somebody else trained, with any tool, on the same seed."""
    from xelm.growth.adopt import adopt as adopt_expert
    from xelm.growth.columns import of_files

    codes = [code for code in languages.replace(",", " ").split() if code]
    after = adopt_expert(
        bundle,
        expert,
        codes,
        name=name,
        columns=of_files(bundle, text or [], codes),
        take_over=take_over,
        any_seed=any_seed,
        say=_say,
    )
    _done(bundle, after.revision, f"{after.experts[-1].name} adopted")


def log(bundle: Bundle, json: Json = False) -> None:
    """What was added when, from what, on how many tokens."""
    from dataclasses import asdict

    from xelm.growth import history, table

    entries = history.log(bundle)
    if json:
        _print_json([asdict(entry) for entry in entries])
    else:
        _print(table.log(entries))


def checkout(
    bundle: Bundle,
    revision: Annotated[int, typer.Argument(help="Its number in `xelm log`.", metavar="N")],
) -> None:
    """Make a new revision that holds what revision N held."""
    from xelm.growth import history

    _done(bundle, history.checkout(bundle, revision, say=_say).revision, f"as revision {revision}")


def prune(
    bundle: Bundle,
    keep: Annotated[
        int | None, typer.Option(help="Keep the last so many revisions; default: all.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say it, remove nothing.")] = False,
) -> None:
    """Remove folders that no revision names, and say what and how much."""
    from xelm.growth import table
    from xelm.growth.prune import prune as prune_bundle

    for line in table.pruned(prune_bundle(bundle, keep=keep, dry_run=dry_run, say=_say), dry_run):
        _say(line)


def publish(
    bundle: Bundle,
    out: Annotated[Path | None, typer.Option(help="A folder that does not exist yet.")] = None,
    hub: Annotated[str | None, typer.Option(help="A Hugging Face hub id.")] = None,
    private: Annotated[bool, typer.Option("--private", help="On the hub.")] = False,
) -> None:
    """Write the current revision, and all it needs, with a model card."""
    from xelm.errors import UserError
    from xelm.growth import publish as publishing
    from xelm.reporting import model_card

    if (out is None) == (hub is None):
        raise UserError("publish: give --out FOLDER or --hub ID")

    def card(folder: Path) -> str:
        return model_card.render(model_card.Bundle.read(folder))

    if out is not None:
        _say(f"{out}: revision {publishing.publish(bundle, out, card).revision}, published")
    else:
        assert hub is not None
        _say(publishing.upload(bundle, hub, card, private=private))


def lineage(
    folder: Annotated[Path, typer.Argument(help="A run or a bundle.", metavar="RUN|BUNDLE")],
    svg: Annotated[Path | None, typer.Option(help="Write it as a picture.")] = None,
    json: Json = False,
) -> None:
    """Who branched from whom, on how many tokens, with which bits per byte."""
    from xelm.growth import lineage as lineages
    from xelm.growth import lineage_svg
    from xelm.storage import atomic

    found = lineages.lineage(folder)
    if svg is not None:
        atomic.write_text(svg, lineage_svg.svg(found))
    if json:
        _print_json(found.as_json())
    else:
        _print(found.as_rich())


def _wait_politely() -> None:
    """Threads that spin while they wait starve the workers beside them; set before torch loads."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")


def _say(line: str) -> None:
    typer.echo(line)


def _aside(line: str) -> None:
    typer.echo(line, err=True)


def _done(bundle: Path, revision: int, what: str) -> None:
    _write_card(bundle)
    _say(f"{bundle}: revision {revision}, {what}")


def _write_card(bundle: Path) -> None:
    """The model card of what the bundle is now; a change took the old one away."""
    from xelm.reporting import model_card

    model_card.write(bundle)


def _print(thing: object) -> None:
    from rich.console import Console

    Console().print(thing)


def _print_json(value: object) -> None:
    from json import dumps

    typer.echo(dumps(value, ensure_ascii=False, indent=1))
