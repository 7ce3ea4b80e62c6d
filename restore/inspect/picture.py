"""All that is read from the picture of one shot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.inspect.blocks import grid_of
from restore.inspect.dirt import Dirt, dirt
from restore.inspect.flicker import flicker
from restore.inspect.information import Information, information
from restore.inspect.look import Codes
from restore.inspect.noise import noise_of
from restore.inspect.overlays import Box, Overlays, find_logo, view
from restore.inspect.scratches import Scratches, scratches
from restore.inspect.sharpness import Sharpness, sharpness
from restore.inspect.subtitles import TextLine, find_lines, find_subtitles
from restore.inspect.weave import weave
from restore.io.geometry import Crop
from restore.video import BlockGrid

_FRAMES = 16
"""Of a shot, from its first new one, in which motion is followed."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Of one shot, without its border."""

    frames: int
    """That are no repeats."""
    grid: BlockGrid | None
    noise: float
    flicker: float
    weave: tuple[float, float]
    dirt: Dirt
    scratches: Scratches
    sharpness: Sharpness
    information: Information
    view: NDArray[np.float32]
    text: tuple[TextLine, ...]
    """What may be subtitles."""


def read(
    luma: Codes, new: NDArray[np.bool_], chroma: tuple[Codes, Codes] | None, *, interlaced: bool
) -> Reading:
    """(T, H, W) luma, which frames of it are no repeats, and Cb and Cr at their own size. The fields of interlaced frames
    are of different times: the upper one alone is followed through time."""
    unique = luma[new]
    field = unique[:_FRAMES, ::2] if interlaced else unique[:_FRAMES]
    middle = len(luma) // 2
    return Reading(
        frames=len(unique),
        grid=grid_of(luma),
        noise=noise_of(unique[:, ::2] if interlaced else unique),
        flicker=flicker(field),
        weave=weave(field) if len(field) > 2 else (0.0, 0.0),
        dirt=dirt(field),
        scratches=scratches(field),
        sharpness=sharpness(unique),
        information=information(luma[middle], _rgb(luma, chroma, middle)),
        view=view(luma),
        text=find_lines(luma),
    )


def _rgb(luma: Codes, chroma: tuple[Codes, Codes] | None, frame: int) -> NDArray[np.uint8] | None:
    """(H, W, 3): one frame as the study of image information saw it; close enough for counting bytes."""
    if chroma is None:
        return None
    size = (luma.shape[2], luma.shape[1])
    blue, red = (cv2.resize(p[frame], size, interpolation=cv2.INTER_LINEAR) for p in chroma)
    ycc = np.stack([luma[frame], red, blue], -1)
    return np.asarray(cv2.cvtColor(ycc, cv2.COLOR_YCrCb2RGB), np.uint8)


def sharpness_of(readings: Sequence[Reading]) -> Sharpness:
    """The sharpest quarter of the shots speaks: a shot may be out of focus, a file is not."""
    found = []
    for axis in ("across", "down"):
        values = [v for r in readings if (v := getattr(r.sharpness, axis)) is not None]
        found.append(float(np.quantile(values, 0.75)) if values else None)
    return Sharpness(*found)


def overlays(readings: Sequence[Reading], crop: Crop) -> Overlays:
    """Boxes in samples of the whole frame, its border included."""
    logo, known = find_logo([r.view for r in readings])
    texts, share = find_subtitles([r.text for r in readings])
    return Overlays(_moved(logo, crop), known, _moved(texts, crop), share)


def _moved(box: Box | None, crop: Crop) -> Box | None:
    return None if box is None else (box[0] + crop.left, box[1] + crop.top, box[2], box[3])
