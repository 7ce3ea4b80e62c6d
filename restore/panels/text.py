"""Labels on a panel, drawn by OpenCV: FFmpeg's drawtext is not in every build, and needs a font of the machine's."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from restore.panels.panel import BLACK, NEUTRAL, WHITE, Codes, Picture

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SHADE = 0.35
"""How much of the picture shows through a label's box."""


def text_height(height: int) -> int:
    """Lines of text for a panel of `height` lines: readable, and no more of the picture than needed."""
    return min(40, max(8, height // 36))


def drawable(text: str) -> str:
    """`text` with '?' for what the font does not have: all but ASCII."""
    return "".join(c if " " <= c <= "~" else "?" for c in text)


@lru_cache(maxsize=512)
def box_of(text: str, height: int) -> Codes:
    """(rows, columns), both even: a label's coverage, 0 to 255, with room around the letters."""
    scale = height / 21  # capital letters of the font are 21 samples high at scale 1
    thickness = max(1, round(height / 9))
    (width, above), below = cv2.getTextSize(text, _FONT, scale, thickness)
    margin = max(2, height // 2)
    rows, columns = above + below + margin, width + 2 * margin
    box = np.zeros((rows + rows % 2, columns + columns % 2), np.uint8)
    at = (margin, margin // 2 + above)
    cv2.putText(box, text, at, _FONT, scale, 255, thickness, cv2.LINE_AA)
    return box


def draw(picture: Picture, text: str, height: int, x: int, y: int, *, bottom: bool = False) -> None:
    """Write a label into `picture`, with its top left corner (`bottom`: its bottom left one) at (x, y); what does not
    fit is cut off. The box darkens the picture; letters are white."""
    cover = box_of(drawable(text), height)
    x, y = x // 2 * 2, (y - cover.shape[0] if bottom else y) // 2 * 2
    y = max(0, y)
    rows = min(cover.shape[0], picture[0].shape[0] - y)
    columns = min(cover.shape[1], picture[0].shape[1] - x)
    if rows < 2 or columns < 2:
        return
    share = cover[:rows, :columns].astype(np.float32) / 255
    luma = picture[0][y : y + rows, x : x + columns]
    shaded = BLACK + (luma.astype(np.float32) - BLACK) * _SHADE
    luma[:] = np.rint(np.clip(shaded + (WHITE - shaded) * share, 0, 255)).astype(np.uint8)
    for plane in picture[1:]:
        part = plane[y // 2 : (y + rows) // 2, x // 2 : (x + columns) // 2]
        faded = NEUTRAL + (part.astype(np.float32) - NEUTRAL) * _SHADE
        part[:] = np.rint(faded).astype(np.uint8)
