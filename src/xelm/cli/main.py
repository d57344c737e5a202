"""The `xelm` command: its verbs, and how a user's mistake is told (one line, exit code 2).

Verb files import heavy libraries inside their functions, so that `xelm --help` answers at once.
"""

import os
import sys
from typing import Annotated

import typer

from xelm.cli import generate, grow, lm_eval, stages, start, travel, tree, verify
from xelm.errors import UserError
from xelm.training.events import Stopped

app = typer.Typer(
    name="xelm",
    help="Train a multilingual language model as a team of independent experts, "
    "and use the team as one model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_START = "Begin here"
_STAGES = "The stages of a run, each idempotent"
_USE = "Use an X-ELM"
_GROW = "Let it grow; what is there stays as it was"

app.command(rich_help_panel=_START)(start.demo)
app.command(rich_help_panel=_START)(start.run)
app.command(rich_help_panel=_START)(start.status)
app.command(rich_help_panel=_START)(tree.tree)
app.command(rich_help_panel=_STAGES)(stages.prepare)
app.command(rich_help_panel=_STAGES)(stages.allocate)
app.command(rich_help_panel=_STAGES)(stages.train)
app.command(rich_help_panel=_STAGES)(travel.pack)
app.command(rich_help_panel=_STAGES)(travel.collect)
app.command(rich_help_panel=_STAGES)(stages.assemble)
app.command(rich_help_panel=_STAGES)(stages.evaluate)
app.command(rich_help_panel=_STAGES)(stages.report)

app.command(rich_help_panel=_USE)(generate.generate)
app.command(rich_help_panel=_USE)(verify.verify)
app.command(rich_help_panel=_USE, name="lm-eval")(lm_eval.lm_eval)
for verb in (
    grow.add,
    grow.remove,
    grow.upgrade,
    grow.adopt,
    grow.log,
    grow.checkout,
    grow.prune,
    grow.publish,
    grow.lineage,
):
    app.command(rich_help_panel=_GROW)(verb)


def _version(value: bool) -> None:
    if value:
        from xelm import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of the command itself."""


def main() -> None:
    """Entry point: run a verb, tell mistakes in one line."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        app()
    except UserError as error:
        print(f"xelm: {error}", file=sys.stderr)
        sys.exit(2)
    except Stopped as stop:
        print(f"xelm: {stop}", file=sys.stderr)
        sys.exit(Stopped.EXIT_CODE)
    except KeyboardInterrupt:
        print("xelm: stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


if __name__ == "__main__":
    main()
