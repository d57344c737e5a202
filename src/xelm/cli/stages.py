"""`xelm prepare|allocate|train|assemble|evaluate|report RUN`: one stage of a run each."""

from pathlib import Path
from typing import Annotated

import typer

RunFolder = Annotated[Path, typer.Argument(help="The run's folder.", metavar="RUN")]


def prepare(run: RunFolder) -> None:
    """Text to tokenizer and token shards."""
    _open(run).prepare()


def allocate(run: RunFolder) -> None:
    """Who gets which document."""
    _open(run).allocate()


def train(
    run: Annotated[
        Path, typer.Argument(help="The run's folder, or a packed expert.", metavar="RUN|FOLDER")
    ],
    expert: Annotated[
        str | None, typer.Argument(help="One job, e.g. typology-8/en-es or dense; default: all.")
    ] = None,
) -> None:
    """Train one expert or all; run again, it goes on or says it is done."""
    from xelm.training import packed

    if packed.fingerprints(run) is not None:
        from xelm.run import train_one

        train_one(run, packed.job_name(run))
    else:
        _open(run).train([expert] if expert else None)


def assemble(run: RunFolder) -> None:
    """Make bundles of the experts that are there."""
    _open(run).assemble()


def evaluate(
    run: Annotated[
        Path, typer.Argument(help="The run's folder, or a bundle.", metavar="RUN|BUNDLE")
    ],
    text: Annotated[
        list[str] | None, typer.Option("--text", help="For a bundle: files, folders or globs.")
    ] = None,
    router: Annotated[
        str | None, typer.Option(help="own, or a kind of router; default: the bundle's.")
    ] = None,
    top_m: Annotated[
        int | None, typer.Option(help="Experts a token; default: the bundle's.")
    ] = None,
    tokens: Annotated[bool, typer.Option(help="Print every token's log-probability.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Bits per byte per language: of a run's arms, or of a bundle on your own text."""
    if (run / "xelm.json").is_file():
        from xelm.cli.score import score

        score(run, text or [], router, top_m, tokens, json)
    else:
        _open(run).evaluate()


def report(run: RunFolder) -> None:
    """The table, and report.html."""
    _open(run).report()


def _open(folder: Path):  # type: ignore[no-untyped-def]  # Run is imported late
    from xelm.run import Run

    return Run.open(folder)
