"""Cuts are found wherever they are; motion and flicker are not cuts."""

import numpy as np
import pytest

from restore.scenes import CutMarker, SceneOptions


def texture(seed: int, shift: int = 0, gain: float = 1.0) -> np.ndarray:
    """A (96, 128) picture of soft blobs, its own for each seed, moved sideways by `shift`."""
    small = np.random.default_rng(seed).uniform(20, 235, (12, 40))
    big = np.kron(small, np.ones((8, 8)))[:, 8 + shift : 136 + shift]
    return (big * gain).clip(0, 255).astype(np.uint8)


def cuts(frames: list[np.ndarray], **options: object) -> list[int]:
    marker = CutMarker(SceneOptions(**options))  # type: ignore[arg-type]
    found = [c for frame in frames for c in marker.feed(frame)] + marker.finish()
    return sorted(set(found))


@pytest.mark.parametrize("at", [1, 2, 3, 10, 17, 18, 19])
def test_a_cut_anywhere_is_found(at: int) -> None:
    assert cuts([texture(0)] * at + [texture(1)] * (20 - at)) == [at]


def test_scenes_of_one_frame_are_kept_apart() -> None:
    assert cuts([texture(0)] * 5 + [texture(1)] + [texture(2)] + [texture(3)] * 5) == [5, 6, 7]


def test_motion_and_flicker_are_not_cuts() -> None:
    assert cuts([texture(0, shift=t) for t in range(20)]) == []
    assert cuts([texture(0, gain=1 - 0.03 * (t % 2)) for t in range(20)]) == []


def test_none_marks_nothing() -> None:
    assert cuts([texture(0)] * 4 + [texture(1)] * 4, detector="none") == []


def test_one_frame_and_no_frame() -> None:
    assert cuts([texture(0)]) == []
    assert cuts([]) == []
