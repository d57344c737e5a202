"""Groups stay whole, shares come out, leaks are seen, limits are kept."""

from hypothesis import given
from hypothesis import strategies as st

from xelm.corpus.documents import Document
from xelm.corpus.splits import HeldBack, Histogram, group_hash, paragraphs, split_of


def _document(text: str) -> Document:
    return Document(text, "en", "1", "1", "test")


def test_shares_come_out_on_many_groups() -> None:
    splits = [split_of(f"book-{i}", 0.02, 0.05) for i in range(20_000)]
    assert abs(splits.count("heldout") / 20_000 - 0.05) < 0.006
    assert abs(splits.count("dev") / 20_000 - 0.02) < 0.004


def test_a_group_is_known_by_its_name_alone() -> None:
    # Fixed values: a change would move documents of existing corpora between splits.
    assert [split_of(f"book-{i}", 0.2, 0.3) for i in range(6)] == [
        "dev",
        "dev",
        "train",
        "train",
        "train",
        "dev",
    ]
    assert group_hash("a") != group_hash("a", b"order")


def test_a_larger_heldout_share_only_adds() -> None:
    small = {i for i in range(2000) if split_of(str(i), 0.0, 0.05) == "heldout"}
    large = {i for i in range(2000) if split_of(str(i), 0.0, 0.2) == "heldout"}
    assert small < large


def test_only_letters_of_long_lines_count() -> None:
    [(one, line)] = paragraphs("Short.\nThe 3 old ferries left at dawn, slowly.\n" + "1 " * 40)
    [(two, _)] = paragraphs("the OLD ferries -- left at 9 dawn slowly")
    assert one == two
    assert line == "The 3 old ferries left at dawn, slowly."


def test_leaks_are_seen_in_train_and_in_dev() -> None:
    leak = "Nobody remembers who painted the blue door."
    held = HeldBack()
    held.add("heldout", _document(f"First line here.\n{leak}"))
    held.add("dev", _document("A dev paragraph that is certainly long enough."))
    assert held.find("train", _document(f"Own text.\n{leak.upper()}")) == ("heldout", leak.upper())
    assert held.find("dev", _document(leak)) == ("heldout", leak)
    found = held.find("train", _document("a dev paragraph that is certainly long enough"))
    assert found is not None and found[0] == "dev"
    assert held.find("heldout", _document(leak)) is None
    assert (
        held.find("train", _document("Something that stands nowhere else in the corpus.")) is None
    )


_SIZES = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 500)), min_size=1, max_size=80)


@given(_SIZES, st.integers(1, 10_000))
def test_a_limit_keeps_a_prefix_of_groups(sizes: list[tuple[int, int]], limit: int) -> None:
    histogram = Histogram()
    for group, size in sizes:
        histogram.add(str(group), size)
    prefix = histogram.prefix(limit)
    kept = [(group, size) for group, size in sizes if prefix.keeps(str(group), size)]
    total, used = sum(size for _, size in sizes), sum(size for _, size in kept)
    if total <= limit:
        assert kept == sizes
    else:
        largest = max(size for _, size in sizes)
        assert limit <= used < limit + largest
    order = {group: group_hash(str(group), b"order") for group, _ in sizes}
    last = max((order[group] for group, _ in kept), default=0)
    lower = [(g, s) for g, s in sizes if order[g] < last]
    assert all(each in kept for each in lower), "a group before the last one is kept whole"
