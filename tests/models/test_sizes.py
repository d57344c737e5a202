"""The dial of sizes: exact counts, below what was asked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xelm.errors import UserError
from xelm.models import seed
from xelm.models.sizes import size


class Tokenizer:
    eos_token_id = 0
    bos_token_id = 0


@pytest.mark.parametrize(
    ("dial", "vocabulary", "width", "depth"),
    [("2m", 8192, 128, 4), ("12m", 8192, 320, 7), ("124m", 50_257, 768, 12)],
)
def test_known_sizes(dial: str, vocabulary: int, width: int, depth: int) -> None:
    made = size(dial, vocabulary)
    assert (made.width, made.depth) == (width, depth)
    assert made.parameters <= int(dial[:-1]) * 10**6


@given(millions=st.integers(1, 3000), vocabulary=st.sampled_from([300, 8192, 50_000]))
def test_any_dial_stays_below_itself_and_uses_most_of_it(millions: int, vocabulary: int) -> None:
    try:
        made = size(f"{millions}m", vocabulary)
    except UserError:
        assert millions * 10**6 < vocabulary * 64 + 4 * 70_000
        return
    assert 0.5 * millions * 10**6 < made.parameters <= millions * 10**6
    assert made.width % made.heads == 0


@pytest.mark.parametrize(("dial", "vocabulary"), [("2m", 8192), ("1m", 3000)])
def test_the_count_is_the_models(dial: str, vocabulary: int) -> None:
    made = size(dial, vocabulary)
    model = seed.build(made, Tokenizer())
    assert seed.count_parameters(model) == made.parameters
    assert seed.matmul_parameters(model) == made.parameters - made.width * (2 * made.depth + 1)


@pytest.mark.parametrize("dial", ["", "big", "-2m", "2 x", "2mm"])
def test_nonsense_is_a_users_mistake(dial: str) -> None:
    with pytest.raises(UserError, match="not a size"):
        size(dial, 300)


def test_too_small_for_the_vocabulary_says_what_would_do() -> None:
    with pytest.raises(UserError, match="too small for a vocabulary of 100000"):
        size("2m", 100_000)
