"""`xelm pack`, `xelm collect`: an expert trains on another machine and comes home."""

from pathlib import Path
from typing import Annotated

import typer

RunFolder = Annotated[Path, typer.Argument(help="The run's folder.", metavar="RUN")]


def pack(
    run: RunFolder,
    expert: Annotated[str, typer.Argument(help="A job of the run, e.g. typology-8/en-es.")],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
) -> None:
    """Write seed, share and settings of one expert: `xelm train OUT` trains it anywhere."""
    from xelm.training.pack import pack as write

    write(run, expert, out)
    typer.echo(f"{out}: train it anywhere with `xelm train {out}`, then `xelm collect {run} {out}`")


def collect(
    run: RunFolder,
    folder: Annotated[Path, typer.Argument(help="The packed folder, trained.", metavar="FOLDER")],
) -> None:
    """Bring a packed expert home, after checking that it is what it says it is."""
    from xelm.training.pack import collect as bring

    name = bring(run, folder)
    typer.echo(f"{run}/models/{name}: collected; `xelm assemble {run}` puts it into its bundle")
