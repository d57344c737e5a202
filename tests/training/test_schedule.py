"""Learning rates: where they start, peak and end."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xelm.training.schedule import learning_rate
from xelm.training.settings import ArmSettings


def rates(steps: int, **more: object) -> list[float]:
    settings = ArmSettings(learning_rate=1.0, **more)  # type: ignore[arg-type]
    return [learning_rate(step, steps, settings) for step in range(steps)]


def test_linear_goes_from_the_peak_to_one_short_of_the_end() -> None:
    assert rates(4) == [1.0, 0.75, 0.5, 0.25]


def test_warm_up_rises_to_the_peak() -> None:
    assert rates(10, warmup=0.4)[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_wsd_stays_and_then_falls() -> None:
    made = rates(10, schedule="wsd", decay=0.4)
    assert made[:7] == [1.0] * 7
    assert made[7:] == pytest.approx([0.75, 0.5, 0.25])


def test_cosine_is_half_way_down_in_the_middle() -> None:
    assert rates(10, schedule="cosine")[5] == pytest.approx(0.5)


@settings(deadline=None)  # a busy machine is no failure
@given(
    steps=st.integers(1, 300),
    schedule=st.sampled_from(["linear", "cosine", "constant", "wsd"]),
    warmup=st.floats(0, 0.9),
    decay_to=st.floats(0, 1),
    decay=st.floats(0.01, 1),
)
def test_rates_are_never_zero_nor_above_the_peak_and_fall_after_warm_up(
    steps: int, schedule: str, warmup: float, decay_to: float, decay: float
) -> None:
    made = rates(steps, schedule=schedule, warmup=warmup, decay_to=decay_to, decay=decay)
    assert all(0 < rate <= 1 for rate in made)
    after = made[round(warmup * steps) :]
    assert all(left >= right for left, right in pairwise(after))
