"""The view off a terminal: plain lines with the figures; on one: a table."""

import io

from rich.console import Console

from xelm.launching.view import View, duration


def test_duration() -> None:
    assert duration(75.9) == "1:15"
    assert duration(3700) == "1:01:40"


def _feed(view: View) -> None:
    view.on_message({"task": "typology/en-es", "kind": "started"})
    event = {
        "languages": ["en", "es"],
        "step": 3,
        "steps": 9,
        "loss": 4.5,
        "tokens_per_second": 9000.0,
        "seconds_left": 61.0,
    }
    view.on_message({"task": "typology/en-es", "kind": "progress", "event": event})


def test_plain_lines() -> None:
    out = io.StringIO()
    with View("train", ["typology/en-es"], Console(file=out)) as view:
        _feed(view)
        view.on_message({"task": "typology/en-es", "kind": "done"})
    lines = out.getvalue().splitlines()
    assert lines[0] == "train typology/en-es: started"
    assert any("step 3/9" in line and "9,000 tokens/s" in line for line in lines)
    assert lines[-1].startswith("train: 1 of 1 done in")


def test_table_on_a_terminal() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, height=30)
    with View("train", ["typology/en-es", "dense"], console) as view:
        _feed(view)
    text = out.getvalue()
    assert "en es" in text and "4.500" in text and "waiting" in text and "1:01" in text
