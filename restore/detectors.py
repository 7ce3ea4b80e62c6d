"""PySceneDetect's detectors, told the change of luma from frame to frame.

On their own each of them turns each frame into hue, saturation and value, and compares all three: a hundred times the
work of comparing luma. What they decide from the change is theirs.
"""

from __future__ import annotations

from scenedetect import AdaptiveDetector, ContentDetector, FrameTimecode


class _Told:
    def _calculate_frame_score(self, timecode: FrameTimecode, change: float) -> float:
        return change

    def cuts(self, number: int, change: float) -> list[int]:
        """Numbers of the frames newly known to start a scene. `change`: mean change of luma from the frame before to
        this one, in 8-bit codes; `number`: of this one, 0 or more, in order."""
        # Time plays no part in the decision; the rate only satisfies the interface.
        found = self.process_frame(FrameTimecode(number, 25.0), change)  # type: ignore[attr-defined]
        return [cut.frame_num for cut in found]


class Content(_Told, ContentDetector):  # type: ignore[misc]
    """Cuts where the change passes `threshold`."""

    def __init__(self, threshold: float) -> None:
        super().__init__(threshold=threshold, min_scene_len=1)


class Adaptive(_Told, AdaptiveDetector):  # type: ignore[misc]
    """Cuts where the change passes `floor` and is `ratio` times that of the `window` frames on either side."""

    def __init__(self, ratio: float, window: int, floor: float) -> None:
        super().__init__(
            adaptive_threshold=ratio, min_scene_len=1, window_width=window, min_content_val=floor
        )
