"""NIQE (Mittal, Soundararajan and Bovik 2013): how far a picture's statistics lie from those of clean pictures.

It knows no truth: a picture that shows something else, sharply, scores well. The model of clean pictures is fitted here, to
images of one's own, so values compare with each other but not with those by another model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BLOCK = 96
"""Side of a patch; half of it at the second scale."""
SHARP = 0.75
"""Patches of a clean image count that are at least so sharp as this share of its sharpest."""

_SHAPES = np.arange(0.2, 10.0005, 0.001)
_RATIOS = np.array(
    [math.exp(2 * math.lgamma(2 / g) - math.lgamma(1 / g) - math.lgamma(3 / g)) for g in _SHAPES]
)
"""(E|x|)^2 / E x^2 of a generalised Gaussian of each shape; rises with it."""


@dataclass(frozen=True)
class CleanModel:
    """Features of clean patches: a multivariate Gaussian."""

    mean: Array
    """(36,)"""
    covariance: Array
    """(36, 36)"""
    patches: int


def fit(images: Iterable[Array]) -> CleanModel:
    """From clean grey images, (H, W) in 0..255. ValueError for fewer patches than the covariance needs."""
    found = []
    for image in images:
        if min(image.shape) >= BLOCK:
            features, sharpness = _features(image)
            found.append(features[sharpness > SHARP * sharpness.max()])
    patches = np.concatenate(found) if found else np.empty((0, 36))
    if len(patches) < 3 * 36:
        raise ValueError(
            f"expected at least {3 * 36} sharp patches of {BLOCK}x{BLOCK}, found {len(patches)}; give more or larger images"
        )
    return CleanModel(patches.mean(0), np.cov(patches, rowvar=False), len(patches))


def niqe(image: Array, model: CleanModel) -> float:
    """Of a grey image, (H, W) in 0..255; less is better. ValueError for fewer than two patches."""
    if (image.shape[0] // BLOCK) * (image.shape[1] // BLOCK) < 2:
        raise ValueError(
            f"expected two patches of {BLOCK}x{BLOCK} or more, found {image.shape[1]}x{image.shape[0]}"
        )
    features, _ = _features(image)
    return distance(features.mean(0), np.cov(features, rowvar=False), model)


def distance(mean: Array, covariance: Array, model: CleanModel) -> float:
    """Between two Gaussians, in units of their mean covariance (equation 10)."""
    gap = mean - model.mean
    return float(np.sqrt(gap @ np.linalg.pinv((covariance + model.covariance) / 2) @ gap))


def fit_asymmetric(samples: Array) -> tuple[Array, Array, Array]:
    """(N, n) -> (shape, left scale, right scale), each (N,), of asymmetric generalised Gaussians, by moments (Lasmar et
    al. 2009)."""
    below, above = (np.where(side, samples, np.nan) for side in (samples < 0, samples > 0))
    left, right = (_root_mean_square(part) for part in (below, above))
    gamma = left / right
    ratio = np.abs(samples).mean(1) ** 2 / (samples**2).mean(1)
    wanted = ratio * (gamma**3 + 1) * (gamma + 1) / (gamma**2 + 1) ** 2
    shape = _SHAPES[np.abs(_RATIOS[None] - wanted[:, None]).argmin(1)]
    scale = np.sqrt(_gamma(1 / shape) / _gamma(3 / shape))
    return shape, left * scale, right * scale


def _features(image: Array) -> tuple[Array, Array]:
    """(H, W) -> ((patches, 36), sharpness of each); the second scale is the mean of 2x2 samples."""
    rows, columns = image.shape[0] // BLOCK, image.shape[1] // BLOCK
    plane = np.ascontiguousarray(image[: rows * BLOCK, : columns * BLOCK], np.float64)
    found, sharpness = [], np.empty(0)
    for scale in (1, 2):
        if scale == 2:
            halves = plane.reshape(plane.shape[0] // 2, 2, plane.shape[1] // 2, 2)
            plane = np.ascontiguousarray(halves.mean((1, 3)))
        normal, deviation = _normalised(plane)
        patches = _patches(normal, BLOCK // scale)
        found.append(_patch_features(patches))
        if scale == 1:
            sharpness = _patches(deviation, BLOCK).mean((1, 2))
    return np.concatenate(found, 1), sharpness


def _normalised(image: Array) -> tuple[Array, Array]:
    """(less its local mean and over its local deviation, the deviation): 7x7 Gaussian of sigma 7/6."""

    def blur(plane: Array) -> Array:
        edge = cv2.BORDER_REPLICATE
        return np.asarray(cv2.GaussianBlur(plane, (7, 7), 7 / 6, borderType=edge), np.float64)

    mean = blur(image)
    deviation = np.sqrt(np.abs(blur(image * image) - mean * mean))
    return (image - mean) / (deviation + 1), deviation


def _patches(plane: Array, side: int) -> Array:
    """(rows * side, columns * side) -> (rows * columns, side, side)."""
    rows, columns = plane.shape[0] // side, plane.shape[1] // side
    parts = plane.reshape(rows, side, columns, side).swapaxes(1, 2)
    return parts.reshape(-1, side, side)


def _patch_features(patches: Array) -> Array:
    """(N, side, side) -> (N, 18): of the samples, then of the products of neighbours in four directions."""
    shape, left, right = fit_asymmetric(patches.reshape(len(patches), -1))
    found = [shape, (left + right) / 2]
    for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):
        products = patches * np.roll(patches, shift, (1, 2))
        shape, left, right = fit_asymmetric(products.reshape(len(patches), -1))
        found += [shape, (right - left) * _gamma(2 / shape) / _gamma(1 / shape), left, right]
    return np.stack(found, 1)


def _root_mean_square(part: Array) -> Array:
    """(N, n) with NaN for what does not count -> (N,); a flat patch has none, and gets next to nothing."""
    squares, count = np.nansum(part**2, 1), np.isfinite(part).sum(1)
    return np.asarray(np.sqrt(squares / np.maximum(count, 1)) + 1e-9, np.float64)


def _gamma(values: Array) -> Array:
    return np.array([math.gamma(v) for v in values])
