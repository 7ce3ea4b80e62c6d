"""Scene cuts, marked from decoded luma by PySceneDetect's detectors (see restore.detectors)."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

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
        # Only chains that look at several frames ask for cuts: the others begin without the library.
        from restore.detectors import Adaptive, Content

        self._detectors: list[Content | Adaptive] = []
        if options.detector != "none":
            self._detectors.append(Content(options.threshold))
        if options.detector == "adaptive":
            self._detectors.append(Adaptive(options.ratio, DELAY, options.floor))
        self._fed = 0
        self._last: np.ndarray | None = None

    def feed(self, luma: np.ndarray) -> list[int]:
        """(H, W) uint8 luma of the next frame -> newly known cuts, as frame indices."""
        cuts: set[int] = set()
        if not self._detectors:
            return []
        image = _small(luma)
        if self._last is None:
            self._last = image
            for pad in range(-DELAY, 0):
                self._detect(0.0, pad)
        change = cv2.norm(image, self._last, cv2.NORM_L1) / image.size
        cuts |= self._detect(change, self._fed)
        self._fed += 1
        self._last = image
        return sorted(c for c in cuts if c > 0)

    def finish(self) -> list[int]:
        """Cuts among the last frames; call once, at the end."""
        cuts: set[int] = set()
        if self._last is not None:
            for pad in range(DELAY):
                cuts |= self._detect(0.0, self._fed + pad)
        return sorted(c for c in cuts if 0 < c < self._fed)

    def _detect(self, change: float, index: int) -> set[int]:
        """`change`: mean change of luma from the frame before, in 8-bit codes."""
        return {cut - DELAY for d in self._detectors for cut in d.cuts(index + DELAY, change)}


def _small(luma: np.ndarray) -> np.ndarray:
    """At most about 360 columns wide: change is a mean, detail is not needed."""
    step = max(1, luma.shape[1] // 352)
    if step == 1:
        return luma
    size = (luma.shape[1] // step, max(1, luma.shape[0] // step))
    return cv2.resize(luma, size, interpolation=cv2.INTER_AREA)
