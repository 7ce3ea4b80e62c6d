"""Scene cuts, marked from decoded luma by PySceneDetect's detectors."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from scenedetect import AdaptiveDetector, ContentDetector, FrameTimecode

from restore.options import Options

DELAY = 2
"""Frames of look-ahead: after frame i, cuts up to frame i - DELAY are final."""


class SceneOptions(Options):
    """Table [scenes]: where frames must not be mixed."""

    detector: Literal["adaptive", "content", "none"] = "adaptive"
    """adaptive: a rolling ratio that camera motion does not fool, joined with a fixed threshold for cuts
    that follow each other at once; content: the fixed threshold alone; none: the whole video is one scene."""
    threshold: float = 27.0
    """Mean change of luma between two frames, in 8-bit codes, that is a cut whatever the neighbours do."""
    ratio: float = 3.0
    """adaptive: how many times the change around it a cut must be."""
    floor: float = 10.0
    """adaptive: smallest mean change of luma, in 8-bit codes, that can be a cut."""


class CutMarker:
    """Feed frames in order; learn the indices of the frames that start a scene.

    A missed cut leaks pixels between scenes while a false one only narrows a window, so the minimum scene
    length is one frame, and the ends of the video are padded: the detectors alone never report a cut among
    the first and last frames."""

    def __init__(self, options: SceneOptions) -> None:
        self._detectors: list[ContentDetector] = []
        if options.detector != "none":
            self._detectors.append(
                ContentDetector(threshold=options.threshold, min_scene_len=1, luma_only=True)
            )
        if options.detector == "adaptive":
            self._detectors.append(
                AdaptiveDetector(
                    adaptive_threshold=options.ratio,
                    min_scene_len=1,
                    window_width=DELAY,
                    min_content_val=options.floor,
                    luma_only=True,
                )
            )
        self._fed = 0
        self._last: np.ndarray | None = None

    def feed(self, luma: np.ndarray) -> list[int]:
        """(H, W) uint8 luma of the next frame -> newly known cuts, as frame indices."""
        image = _three_channels(luma)
        cuts: set[int] = set()
        if self._last is None:
            for pad in range(-DELAY, 0):
                self._detect(image, pad)
        cuts |= self._detect(image, self._fed)
        self._fed += 1
        self._last = image
        return sorted(c for c in cuts if c > 0)

    def finish(self) -> list[int]:
        """Cuts among the last frames; call once, at the end."""
        cuts: set[int] = set()
        if self._last is not None:
            for pad in range(DELAY):
                cuts |= self._detect(self._last, self._fed + pad)
        return sorted(c for c in cuts if 0 < c < self._fed)

    def _detect(self, image: np.ndarray, index: int) -> set[int]:
        # Time plays no part in the decision; the rate only satisfies the interface.
        time = FrameTimecode(index + DELAY, 25.0)
        return {
            found.frame_num - DELAY
            for d in self._detectors
            for found in d.process_frame(time, image)
        }


def _three_channels(luma: np.ndarray) -> np.ndarray:
    """Replicated to (h, w, 3), at most about 360 columns wide: change is a mean, detail is not needed."""
    step = max(1, luma.shape[1] // 352)
    if step > 1:
        size = (luma.shape[1] // step, max(1, luma.shape[0] // step))
        luma = cv2.resize(luma, size, interpolation=cv2.INTER_AREA)
    return cv2.merge([luma, luma, luma])
