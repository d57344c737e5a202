"""report.html: one file, nothing loaded from outside, readable on paper, phone and dark screens."""

from collections.abc import Mapping
from functools import cache
from statistics import fmean
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from xelm.reporting import accounts, arms, colours, figures, gains, standings
from xelm.reporting.origin import origin
from xelm.reporting.pictures.frame import language_name
from xelm.reporting.run_files import RunFiles
from xelm.reporting.scale import short, signed


def render(files: RunFiles, fingerprint: str) -> str:
    """The whole page; `fingerprint` is put into its head so that it can be told to be current."""
    summary = files.summary
    return (
        environment()
        .get_template("page.html")
        .render(
            fingerprint=fingerprint,
            palette=colours.css(":root"),
            summary=summary,
            headline=summary.get("headline"),
            fair=_fair(summary),
            figures=key_figures(summary),
            tables=[
                (table, standings.legend(summary, table)) for table in standings.tables(summary)
            ],
            groups=_groups,
            title=standings.title,
            gains=gain_rows(summary),
            by_language=figures.by_language(summary),
            by_arm=figures.by_arm(summary),
            forgetting=figures.forgetting(summary),
            teams=figures.teams(files),
            members=accounts.members(files),
            training=figures.training(files),
            seed=figures.seed(files),
            sweep=accounts.sweep(summary),
            budgets=accounts.budgets(files),
            origin=origin(files),
            control=gains.control(summary),
        )
    )


@cache
def environment() -> Environment:
    """Templates of this package; everything is escaped, and an unknown name is an error."""
    found = Environment(
        loader=PackageLoader("xelm.reporting"),
        autoescape=lambda name: name is None or not name.endswith(".md"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(
        language=language_name,
        short=short,
        signed=signed,
        duration=accounts.duration,
        size=accounts.size,
        cell=markdown_cell,
    )
    return found


def markdown_cell(text: str) -> str:
    """Text that breaks no table and starts no tag."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())


def _fair(summary: Mapping[str, Any]) -> bool:
    budgets = summary["budgets"]
    return bool(budgets["equal"] and all(budgets["matched"].values()))


def key_figures(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A few large figures under the headline: (figure, what it is)."""
    headline, against = summary.get("headline"), gains.control(summary)
    if not headline or headline["arm"] not in summary["arms"] or against is None:
        return []
    arm = headline["arm"]
    ours, theirs = gains.same_documents(summary, arm, against)
    by_language = gains.by_language(summary, arm, against)
    percent = gains.overall(summary, arm, against).percent
    better = sum(gain.percent > 0 for gain in by_language.values())
    tested = [gain for gain in by_language.values() if gain.p_adjusted is not None]
    significant = sum(gain.significant and gain.percent > 0 for gain in tested)
    found = [
        (
            f"{fmean(theirs.values()):.3f} → {fmean(ours.values()):.3f}",
            f"bits per byte, {against} → {arm}",
        ),
        (f"{abs(percent):.1f} %", f"{'fewer' if percent > 0 else 'more'} bits on average"),
        (f"{better} of {len(by_language)}", "languages better"),
    ]
    if tested:
        alpha = f"{summary['significance']['alpha']:g}".lstrip("0")
        found.append((f"{significant} of {len(tested)}", f"significantly (Holm, p < {alpha})"))
    return found


def gain_rows(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of each allocation in percent: its gain over dense, the gain's parts, what else is known."""
    rows = []
    for name in arms.allocations(summary):
        own, matched = f"{name}/own", f"{arms.MATCHED}/{name}"
        if not {own, "dense"} <= set(summary["arms"]):
            continue
        whole = gains.overall(summary, own, "dense").percent
        mixture = (
            gains.overall(summary, matched, "dense").percent if matched in summary["arms"] else None
        )
        matrix, routed = summary["matrix"].get(name), summary["routed"].get(name)
        rows.append(
            {
                "allocation": name,
                "k": summary["allocations"][name]["k"],
                "total": whole,
                "mixture": mixture,
                "separation": None if mixture is None else whole - mixture,
                "others": matrix["others"] if matrix else None,
                "first": 100 * fmean(routed["first"].values())
                if routed and routed.get("first")
                else None,
            }
        )
    return rows


def _groups(table: standings.Standings) -> list[tuple[str, int]]:
    """The upper line of a table's head: (allocation, columns); controls of none have ''."""
    found: list[tuple[str, int]] = []
    for arm in table.arms:
        name = arm.allocation or ""
        if found and found[-1][0] == name and name:
            found[-1] = (name, found[-1][1] + 1)
        else:
            found.append((name, 1))
    return found
