"""Every detector finds what is there and keeps quiet where there is nothing."""

import pytest

from tests.inspect.trials import TRIALS, count


@pytest.mark.parametrize("name", TRIALS)
def test_a_detector_finds_its_fault_and_nothing_else(name: str) -> None:
    rates = count(name)
    assert rates.recall >= 0.9, f"found {rates.found} of {rates.positives}"
    assert rates.false_alarms <= 0.05, f"{rates.false} false alarms in {rates.negatives}"
