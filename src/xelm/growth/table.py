"""The report of an addition on a terminal: donors, the new language's arms, the old languages."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from xelm.corpus import languages as codes
from xelm.growth.comparison import Comparison
from xelm.growth.history import Entry
from xelm.growth.prune import Pruned


def render(made: Comparison) -> RenderableType:
    """The whole report."""
    return Group(
        donors(made), arms(made), old(made), *(Text(line) for line in sentences(made)), Text("")
    )


def donors(made: Comparison) -> Table:
    """Who predicts a sample of the new text best, and how far its languages are by typology."""
    about = made.donors
    distances = dict(about["nearest"])
    table = Table(title=f"Donors for {codes.name(made.language)}", title_justify="left")
    table.add_column("donor")
    table.add_column("bits/byte of a sample", justify="right")
    table.add_column("nearest of its languages", justify="left")
    for candidate in about["candidates"]:
        own = sorted((distances[c], c) for c in candidate["languages"] if c in distances)
        near = f"{own[0][1]} ({own[0][0]:.3f})" if own else ""
        chosen = " *" if candidate["name"] == made.parent else ""
        row = [f"{candidate['name']}{chosen}", f"{candidate['bits_per_byte']:.3f}", near]
        table.add_row(*row, style="bold" if chosen else "")
    by_tree = about["nearest"][0][0] if about["nearest"] else None
    table.caption = (
        f"* chosen; nearest by typology: {by_tree}" if by_tree else f"* chosen; {about['note']}"
    )
    return table


def arms(made: Comparison) -> Table:
    """Bits per byte of the new language's held-out text; the best marked."""
    table = Table(title=f"{codes.name(made.language)}, held-out text", title_justify="left")
    table.add_column("arm")
    for column in ("bits/byte", "tokens", f"of them {made.language}"):
        table.add_column(column, justify="right")
    best = min(arm.bits_per_byte for arm in made.arms)
    for arm in made.arms:
        row = [arm.name, f"{arm.bits_per_byte:.4f}", _count(arm.tokens), _count(arm.new_tokens)]
        table.add_row(*row, style="bold" if arm.bits_per_byte == best else "")
    table.add_row("routed, language not told", f"{made.routed:.4f}", "", "")
    return table


def _count(number: int) -> str:
    return f"{number:,}" if number else ""


def old(made: Comparison) -> Table | Text:
    """Old languages before and after."""
    if not made.old:
        return Text("")
    table = Table(title=f"Old languages, {made.old_text}", title_justify="left")
    table.add_column("language")
    dense = ("dense", "continued", "with replay")
    widest = max(len(each.dense) for each in made.old.values())
    titles = ("own before", "own after", "routed before", "routed after", *dense[:widest])
    for title in (*titles, "newly routed"):
        table.add_column(title, justify="right")
    for language, each in made.old.items():
        same = each.own[0] == each.own[1]
        figures = [f"{x:.4f}" for x in (*each.own, *each.routed, *each.dense)]
        went = f"{each.newly_routed}/{each.documents}" if each.newly_routed else "0"
        table.add_row(language, *figures, went, style="" if same else "bold red")
    count = len(made.old)
    sums = [
        sum(values) / count
        for values in zip(
            *((*each.own, *each.routed, *each.dense) for each in made.old.values()), strict=True
        )
    ]
    table.add_section()
    table.add_row("mean", *(f"{x:.4f}" for x in sums), "")
    return table


def sentences(made: Comparison) -> Iterator[str]:
    """What the tables mean, one line each."""
    if made.old:
        same = sum(each.own[0] == each.own[1] for each in made.old.values())
        yield (
            f"Old languages under their own experts: the same to the last digit in {same} of "
            f"{len(made.old)}."
        )
        went, there = made.newly_routed()
        yield f"Old documents that now go to {made.expert} first: {went} of {there}."
    right, all_ = made.recognised
    yield f"New held-out documents that go to {made.expert} first: {right} of {all_}."
    rates = dict(made.bytes_per_token)
    mine = rates.pop(made.language)
    others = f", {sum(rates.values()) / len(rates):.2f} in the others" if rates else ""
    yield f"Bytes per token: {mine:.2f} in {made.language}{others}."
    if made.blind is not None:
        yield f"Part of the new text that the router's embedding cannot see: {made.blind:.1%}."
    for note in made.notes:
        yield f"Note: {note}."


def log(entries: list[Entry]) -> Table:
    """`xelm log`: what was done, newest first."""
    table = Table(title_justify="left")
    for column in ("revision", "when (UTC)", "what", "expert", "languages", "from", "tokens"):
        table.add_column(column, justify="right" if column in ("revision", "tokens") else "left")
    for entry in reversed(entries):
        about = entry.details
        tokens = sum((about.get("tokens") or {}).values())
        table.add_row(
            f"{'* ' if entry.current else ''}{entry.revision}",
            entry.time.replace("T", " ").removesuffix("Z"),
            _what(entry),
            str(about.get("expert") or " ".join(about.get("experts", []))),
            " ".join(about.get("languages") or []),
            str(about.get("parent") or ""),
            _count(tokens),
        )
    return table


def _what(entry: Entry) -> str:
    of = entry.details.get("checked_out")
    return f"{entry.action} {of}" if of else entry.action


def pruned(found: list[Pruned], dry_run: bool) -> Iterator[str]:
    """`xelm prune`: one line a folder, and the sum."""
    for each in found:
        yield f"{each.folder}: {size(each.size)}"
    verb = "would be removed" if dry_run else "removed"
    frees = sum(each.frees for each in found)
    total = sum(each.size for each in found)
    yield f"{len(found)} folder(s), {size(total)} {verb}, {size(frees)} freed" + (
        "" if frees == total else " (other hard links keep the rest)"
    )


def size(count: int) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count = count / 1000  # type: ignore[assignment]
    return f"{count:.2f} GB"
