"""The order of windows: exact quotas, whole epochs, a pure function of its inputs."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xelm.training.order import Order, Pick, Source, quotas


class Share:
    """A share that is nothing but numbers of windows."""

    def __init__(self, **counts: int) -> None:
        self.counts = counts
        self.languages = sorted(counts)

    def window_count(self, language: str, context: int) -> int:
        return self.counts[language]


def order(windows: int, alpha: float = 1.0, seed: int = 0, name: str = "s", **counts: int) -> Order:
    return Order([Source(Share(**counts), name, windows, alpha, seed)], 16, seed)


SIZES = st.lists(st.integers(0, 500), min_size=1, max_size=6).filter(any)


@given(sizes=SIZES, alpha=st.floats(0, 2), total=st.integers(0, 5000))
def test_quotas_sum_up_and_stay_within_one_of_the_exact_share(
    sizes: list[int], alpha: float, total: int
) -> None:
    counts = quotas(sizes, alpha, total)
    weights = np.array([size**alpha if size else 0.0 for size in sizes])
    assert counts.sum() == total
    assert np.all(np.abs(counts - weights / weights.sum() * total) <= 1)


@settings(max_examples=40, deadline=None)
@given(
    en=st.integers(1, 40),
    sw=st.integers(1, 10),
    windows=st.integers(1, 150),
    alpha=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_each_language_gets_its_quota_in_whole_epochs(
    en: int, sw: int, windows: int, alpha: float
) -> None:
    made = order(windows, alpha, en=en, sw=sw)
    picks = made.picks(0, windows)
    assert Counter(p.language for p in picks) == {
        code: n for code, n in made.windows_by_language().items() if n
    }
    for code, size in {"en": en, "sw": sw}.items():
        read = [p.window for p in picks if p.language == code]
        for start in range(0, len(read), size):
            epoch = read[start : start + size]
            assert len(set(epoch)) == len(epoch)
            assert all(0 <= window < size for window in epoch)


@given(cut=st.integers(0, 60))
def test_reading_in_parts_gives_the_same_windows(cut: int) -> None:
    made = order(60, en=11, sw=4)
    assert made.picks(0, cut) + made.picks(cut, 99) == made.picks(0, 60)


def test_epochs_have_different_orders_and_languages_are_spread_out() -> None:
    made = order(400, en=100, sw=100)
    english = [p.window for p in made.picks(0, 400) if p.language == "en"]
    assert english[:100] != english[100:200]
    assert 70 < sum(p.language == "en" for p in made.picks(0, 200)) < 130


def test_the_order_follows_seed_and_share() -> None:
    base = order(50, en=50).picks(0, 50)
    assert order(50, en=50).picks(0, 50) == base
    assert order(50, en=50, seed=1).picks(0, 50) != base
    assert order(50, en=50, name="other").picks(0, 50) != base


def test_the_order_never_changes_between_versions() -> None:
    assert order(5, en=7, sw=3).picks(0, 5) == [
        Pick(0, "en", 3),
        Pick(0, "sw", 2),
        Pick(0, "en", 4),
        Pick(0, "en", 6),
        Pick(0, "en", 0),
    ]


def test_several_sources_are_consumed_exactly_and_mixed() -> None:
    first = Source(Share(en=20, sw=5), "a", 60, 0.5, 3)
    second = Source(Share(ru=9), "b", 30, 1.0, 3)
    apart = [Order([source], 16, 3).picks(0, 99) for source in (first, second)]
    both = Order([first, second], 16, 7).picks(0, 99)
    expected = Counter(
        (number, p.language, p.window) for number, picks in enumerate(apart) for p in picks
    )
    assert Counter(both) == expected
    assert {p.source for p in both[:12]} == {0, 1}


def test_repetition_is_counted_as_epochs() -> None:
    made = order(30, 0.0, en=30, sw=5)
    assert made.epochs_by_language() == {"en": 0.5, "sw": 3.0}


def test_a_language_without_text_is_never_read() -> None:
    made = order(10, 0.0, en=3, sw=0)
    assert {p.language for p in made.picks(0, 10)} == {"en"}
    assert made.epochs_by_language() == {"en": pytest.approx(10 / 3)}
