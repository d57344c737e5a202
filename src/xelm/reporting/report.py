"""The `report` stage: `report.html`, and the table on the terminal."""

import re
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from xelm.reporting import terminal
from xelm.reporting.run_files import RunFiles
from xelm.storage import atomic, fingerprint

if TYPE_CHECKING:
    from rich.console import Console


NAME = "report.html"
_MARK = re.compile(r'<meta name="xelm-made-from" content="([0-9a-f]{64})">')


def write(run: Path, recipe: object = None) -> Path:
    """Write `report.html` of a run that has been evaluated, and the cards of its bundles.

    Nothing is done when the page that is there was made of the same files by the same code. The
    recipe is read from the run's own run.yaml; the argument is there for the stages' sake.

    Raises:
        UserError: evaluation/summary.json is missing or broken.
    """
    files, path = RunFiles(Path(run)), Path(run) / NAME
    mark = fingerprint.of_value([files.fingerprint(), _code()])
    if _made_from(path) != mark:
        from xelm.reporting import page

        _write_cards(Path(run))
        atomic.write_text(path, page.render(files, mark))
    return path


def _write_cards(run: Path) -> None:
    from xelm.reporting import model_card

    for manifest in sorted((run / "bundles").glob("*/xelm.json")):
        model_card.write(manifest.parent, run)


def show(run: Path, recipe: object = None, console: "Console | None" = None) -> None:
    """Print the results of a run; the first line is the headline with the budget statement."""
    terminal.show(RunFiles(Path(run)).summary, console)


def _made_from(path: Path) -> str | None:
    """The mark in a page's head, which stands in its first kilobytes."""
    if not path.is_file():
        return None
    with path.open(encoding="utf-8") as file:
        match = _MARK.search(file.read(4096))
    return match[1] if match else None


@cache
def _code() -> str:
    """Names this room's code and templates: another version of them makes another page."""
    digests = []
    for entry in sorted(_files(resources.files("xelm.reporting")), key=str):
        digests.append(fingerprint.of_file(entry))
    return fingerprint.of_value(digests)


def _files(root: "resources.abc.Traversable") -> list[Path]:
    folder = Path(str(root))
    return [p for ending in ("py", "html", "css", "md") for p in folder.rglob(f"*.{ending}")]
