"""Student's t, against tables."""

import pytest

from restore.evaluate.intervals import mean, t_quantile


@pytest.mark.parametrize(
    ("freedom", "table"),
    [(1, 12.706), (9, 2.262), (10, 2.228), (13, 2.160), (30, 2.042), (120, 1.980)],
)
def test_quantiles(freedom: int, table: float) -> None:
    assert t_quantile(freedom) == pytest.approx(table, abs=6e-4)


def test_the_interval_of_three() -> None:
    """1, 2, 3: deviation 1, so half the interval is 4.3027 / sqrt(3)."""
    found = mean([1.0, 2.0, 3.0])
    assert (found.value, found.items) == (2.0, 3)
    assert found.high == pytest.approx(2 + 4.3027 / 3**0.5)
    assert found.low == pytest.approx(2 - 4.3027 / 3**0.5)


def test_one_has_no_interval_and_none_no_mean() -> None:
    assert mean([5.0]).high is None
    with pytest.raises(ValueError, match="no values"):
        mean([])
