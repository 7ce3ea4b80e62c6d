"""NIQE: the fits against known distributions, the distance against a hand-worked one, the order of pictures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from restore.metrics.niqe import CleanModel, distance, fit, fit_asymmetric, niqe


def picture(seed: int, side: int = 384) -> np.ndarray:
    """Noise with a spectrum as 1/f, as that of natural scenes, 0..255."""
    rng = np.random.default_rng(seed)
    f = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None])
    f[0, 0] = 1
    plane = np.fft.ifft2(np.fft.fft2(rng.standard_normal((side, side))) / f).real
    return np.clip(128 + 45 * plane / plane.std(), 0, 255)


def test_shapes_and_scales_of_known_distributions() -> None:
    """Gauss: shape 2, scale sqrt(2) sigma; Laplace: shape 1, scale b."""
    rng = np.random.default_rng(0)
    gauss, laplace = rng.normal(0, 3, 200_000), rng.laplace(0, 2, 200_000)
    halves = rng.normal(0, 1, 200_000)
    skewed = np.where(halves < 0, halves, 4 * halves)[: len(halves)]
    shape, left, right = fit_asymmetric(np.stack([gauss, laplace, skewed]))
    assert shape[:2] == pytest.approx([2, 1], rel=0.02)
    assert left[:2] == pytest.approx([3 * 2**0.5, 2], rel=0.02)
    assert right[:2] == pytest.approx(left[:2], rel=0.02)
    assert right[2] / left[2] == pytest.approx(4, rel=0.02)


def test_the_distance_of_two_gaussians() -> None:
    """Gap (3, 0, ...), covariances 1 and 3 of it: mean 2, so sqrt(9 / 2)."""
    gap = np.zeros(36)
    gap[0] = 3
    model = CleanModel(np.zeros(36), 3 * np.eye(36), 200)
    assert distance(gap, np.eye(36), model) == pytest.approx(4.5**0.5)


def test_noise_and_blur_are_further_from_clean_than_clean_is() -> None:
    model = fit(picture(n) for n in range(30))
    clean = picture(99)
    noisy = clean + np.random.default_rng(1).normal(0, 25, clean.shape)
    blurred = cv2.GaussianBlur(clean, (0, 0), 2)
    scores = [niqe(p, model) for p in (clean, noisy, blurred)]
    assert scores[0] < min(scores[1:]) - 1


def test_too_little_is_refused() -> None:
    with pytest.raises(ValueError, match=r"108 sharp patches of 96x96, found \d+; give more"):
        fit([picture(0, 192)])
    model = CleanModel(np.zeros(36), np.eye(36), 200)
    with pytest.raises(ValueError, match="two patches of 96x96 or more, found 100x100"):
        niqe(picture(0, 100), model)
