"""Cuts are found wherever they are; motion and flicker are not cuts."""

import cv2
import numpy as np
import pytest
from scenedetect import AdaptiveDetector, ContentDetector, FrameTimecode

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


def test_the_detectors_would_have_found_the_same_themselves() -> None:
    """What they are told of a frame is what they measure of it."""
    rng = np.random.default_rng(3)
    frames = [texture(int(rng.integers(5)), shift=int(rng.integers(60))) for _ in range(120)]
    frames = [f for f in frames for _ in range(int(rng.integers(1, 4)))]
    detectors = [
        ContentDetector(threshold=27.0, min_scene_len=1, luma_only=True),
        AdaptiveDetector(
            adaptive_threshold=3.0,
            min_scene_len=1,
            window_width=2,
            min_content_val=10.0,
            luma_only=True,
        ),
    ]
    wanted = set()
    for number, frame in enumerate([frames[0]] * 2 + frames + [frames[-1]] * 2):
        image = cv2.merge([frame, frame, frame])
        for detector in detectors:
            found = detector.process_frame(FrameTimecode(number, 25.0), image)
            wanted |= {cut.frame_num - 2 for cut in found}
    assert len(wanted) > 40
    assert cuts(frames) == sorted(c for c in wanted if 0 < c < len(frames))
