"""The tree of languages as Newick text; reporting/pictures/tree.py draws it.

A branch point lies at the distance at which its two sides joined. The published pairing takes
left-overs early and at any distance, so a later join can be the closer one. A branch cannot have
negative length: such a join lies level with its sides.
"""

from xelm.allocation.typology_groups import Grouping


def newick(grouping: Grouping) -> str:
    """The tree in Newick format, one line.

    The path between two languages that join directly is as long as their distance.
    """
    heights = _heights(grouping)
    written = [_quoted(language) for language in grouping.languages]
    for t, merge in enumerate(grouping.merges):
        top = heights[len(grouping.languages) + t]
        sides = [
            f"{written[side]}:{(top - heights[side]) / 2:.6f}" for side in (merge.left, merge.right)
        ]
        written.append(f"({','.join(sides)})")
    return written[-1] + ";\n"


def _heights(grouping: Grouping) -> list[float]:
    """Of all clusters: 0 for languages, else the distance of the join, but no less than its
    sides."""
    heights = [0.0] * len(grouping.languages)
    for merge in grouping.merges:
        heights.append(max(merge.distance, heights[merge.left], heights[merge.right]))
    return heights


def _quoted(label: str) -> str:
    plain = all(character.isalnum() or character in "-._" for character in label)
    return label if plain else "'" + label.replace("'", "''") + "'"
