"""Keep the figures of a finished run in docs/results/, where the documents' tables come from.

    python benchmarks/keep.py RUN NAME

Writes docs/results/NAME.json: the run's summary without its samples of text, or, of a run that
swept and went no further, its sweep. Versions, commit and date of the run go with it.
"""

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from xelm.storage import atomic

RESULTS = Path(__file__).parents[1] / "docs" / "results"
_LEFT_OUT = ("samples", "fingerprint")
_DIGITS = 7


def kept(run: Path) -> dict[str, Any]:
    """What the documents quote of a run."""
    summary = run / "evaluation" / "summary.json"
    source = summary if summary.is_file() else run / "training" / "sweep.json"
    found: dict[str, Any] = atomic.read_json(source)
    made = yaml.safe_load((run / "run.yaml").read_text(encoding="utf-8"))
    when = datetime.fromtimestamp(source.stat().st_mtime, UTC).date().isoformat()
    about = {"commit": made["commit"], "versions": made["versions"], "date": when}
    figures = {key: value for key, value in found.items() if key not in _LEFT_OUT}
    return {**_rounded(figures), "made": about}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return value


def main() -> None:
    """Write one file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    arguments = parser.parse_args()
    atomic.write_json(RESULTS / f"{arguments.name}.json", kept(arguments.run))


if __name__ == "__main__":
    main()
