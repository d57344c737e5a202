"""`xelm demo`, `xelm run RECIPE`, `xelm status RUN`: the whole way, and where it stands."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(help="Where the run goes.")] = Path("runs/demo"),
) -> None:
    """Experts on the reader that comes with xelm, compared with dense; then a language is added."""
    from xelm.cli import grow
    from xelm.config import load
    from xelm.recipes import find

    recipe = load(find("demo"))
    _run(recipe, out)
    bundle = out / "bundles" / next(iter(recipe.allocations))
    typer.echo(f"a language that nobody here has seen: xelm add {bundle} --language sv")
    grow.add(bundle, language="sv", text=["sample"])


def run(
    recipe: Annotated[
        str, typer.Argument(help="A recipe file, or the name of one that comes with xelm.")
    ],
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Override a setting: a.b=c (repeatable).")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Default: runs/<name of the recipe>.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and show the plan; train nothing.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """All stages of a recipe in order; run again, it goes on where it stopped."""
    from xelm.config import load
    from xelm.preview import show
    from xelm.recipes import find as find_recipe

    loaded = load(find_recipe(recipe), set_ or [])
    folder = out or Path("runs") / loaded.name
    if dry_run:
        show(loaded, folder, as_json=json)
    else:
        _run(loaded, folder)


def status(
    run: Annotated[Path, typer.Argument(help="The run's folder.", metavar="RUN")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What is done, what is training, what is waiting."""
    from xelm.status import show

    show(run, as_json=json)


def _run(recipe, folder: Path) -> None:  # type: ignore[no-untyped-def]  # Recipe is imported late
    from xelm.run import Run

    Run.create(recipe, folder).all()
