"""Segments and frames from one decode, for chains that look at nothing but the frame in hand.

Such a chain needs no cuts, no facts and no neighbours, so nothing has to be known before a frame is rendered: the
index is filled while the frames go by, and segments are counted in frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from restore.index import Index, Segment
from restore.video import FrameBatch

SEGMENT_FRAMES = 1500
"""Frames per segment: a minute or so, seconds of work. To end one costs a flush of the encoder, a hash and a sync."""


class OnePass(Iterator[Segment]):
    """Iterate over the segments; of each, take `frames_of` or leave them: what is left is decoded and dropped.
    A segment's `stop` is at most first + SEGMENT_FRAMES; once its frames have gone by, index.segments holds it as
    it is."""

    def __init__(self, batches: Iterator[FrameBatch], index: Index) -> None:
        self._batches, self._index = batches, index
        self._held: FrameBatch | None = None
        self._segment: Segment | None = None
        self._passed = 0

    def __next__(self) -> Segment:
        self._finish_segment()
        if not self._pull():
            self._index.complete = True
            raise StopIteration
        stop = self._passed + SEGMENT_FRAMES
        self._segment = Segment(len(self._index.segments), self._passed, stop)
        return self._segment

    def frames_of(self, segment: Segment) -> Iterator[FrameBatch]:
        """The frames of the segment that iteration gave last, in batches."""
        while self._passed < segment.stop and self._pull():
            batch, room = self._held, segment.stop - self._passed
            assert batch is not None
            part = batch[:room] if len(batch) > room else batch
            self._held = batch[room:] if len(batch) > room else None
            self._passed += len(part)
            yield part

    def skip(self, segment: Segment) -> None:
        """Decode the segment's frames and drop them."""
        for _ in self.frames_of(segment):
            pass

    def _finish_segment(self) -> None:
        if self._segment is None:
            return
        self.skip(self._segment)
        self._index.segments.append(replace(self._segment, stop=self._passed))
        self._segment = None

    def end(self, segment: Segment) -> Segment:
        """`segment` with its true stop; its frames must have gone by."""
        return replace(segment, stop=min(segment.stop, self._passed))

    def _pull(self) -> bool:
        """Hold a batch, unless the video is over."""
        if self._held is None:
            self._held = next(self._batches, None)
            if self._held is not None:
                self._index.note(self._held.frames)
        return self._held is not None
