"""Time code as SMPTE ST 12-1 counts it: frames from midnight, written HH:MM:SS:FF, with drop-frame at 29.97 and 59.94.

Drop-frame leaves out labels, never frames: 2 (of 59.94: 4) at the start of each minute that ten does not divide, so that
the label stays within a few frames of the clock.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain

from av.container import InputContainer
from av.stream import Stream

_TEXT = re.compile(r"(\d\d):([0-5]\d):([0-5]\d)([:;.])(\d{2,3})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Timecode:
    """The label of one frame. str() writes it, ';' before the frames of drop-frame."""

    number: int
    """Frames since 00:00:00:00."""
    rate: Fraction
    """Frames per second."""
    drop: bool = False

    @staticmethod
    def of(text: str, rate: Fraction) -> Timecode | None:
        """The label `text` at `rate`; None where there is no such label."""
        found = _TEXT.fullmatch(text.strip())
        nominal = round(rate)
        if found is None or nominal < 1:
            return None
        hours, minutes, seconds, frames = (int(found[n]) for n in (1, 2, 3, 5))
        drop = found[4] != ":"
        if hours > 23 or frames >= nominal or (drop and not can_drop(rate)):
            return None
        number = ((hours * 60 + minutes) * 60 + seconds) * nominal + frames
        if drop:
            left_out, passed = _left_out(nominal), hours * 60 + minutes
            if seconds == 0 and frames < left_out and minutes % 10:
                return None
            number -= left_out * (passed - passed // 10)
        return Timecode(number, rate, drop)

    def later(self, frames: int) -> Timecode:
        """The label of the frame so many frames later; after 23:59:59 comes 00:00:00."""
        nominal = round(self.rate)
        day = 24 * 3600 * nominal
        if self.drop:
            day -= _left_out(nominal) * 24 * 54
        return Timecode((self.number + frames) % day, self.rate, self.drop)

    def at_rate(self, rate: Fraction) -> Timecode:
        """The label of the same moment where frames are counted at `rate`: hours, minutes and seconds as they are.
        Drop-frame only where that rate has it."""
        if rate == self.rate:
            return self
        hours, minutes, seconds, frames = self._fields()
        nominal = round(rate)
        drop = self.drop and can_drop(rate)
        frames = frames * nominal // round(self.rate)
        text = _written(hours, minutes, seconds, frames, drop)
        made = Timecode.of(text, rate)
        if made is None:
            raise ValueError(f"{self} has no label at {rate} frames/s")
        return made

    def _fields(self) -> tuple[int, int, int, int]:
        nominal = round(self.rate)
        number = self.number
        if self.drop:
            left_out = _left_out(nominal)
            minute = 60 * nominal - left_out
            tens, rest = divmod(number, 10 * minute + left_out)
            # The first of ten minutes has all its labels.
            number += left_out * (9 * tens + max(0, (rest - left_out) // minute))
        seconds, frames = divmod(number, nominal)
        minutes, seconds = divmod(seconds, 60)
        hours, minutes = divmod(minutes, 60)
        return hours % 24, minutes, seconds, frames

    def __str__(self) -> str:
        return _written(*self._fields(), self.drop)


def timecode_in(file: InputContainer) -> str | None:
    """What a file states as its start, in the metadata of the container, the video or a track of its own."""
    for tags in chain([s.metadata for s in file.streams if s.type != "audio"], [file.metadata]):
        for key, text in tags.items():
            if key.lower() == "timecode":
                return text
    return None


def dpx_timecode(header: bytes) -> str | None:
    """The label in the first 2048 bytes of a DPX image (SMPTE ST 268, television header: BCD, all ones where undefined).
    FFmpeg reads it only where a frame rate is set, too."""
    order = {b"SDPX": ">", b"XPDS": "<"}.get(header[:4])
    if order is None or len(header) < _DPX_PLACE + 4:
        return None
    (begin,) = struct.unpack_from(f"{order}I", header, 4)
    (code,) = struct.unpack_from(f"{order}I", header, _DPX_PLACE)
    if begin < _DPX_PLACE + 4 or code in (0, 0xFFFFFFFF):
        return None
    hours, minutes, seconds, frames = code.to_bytes(4, "big")
    # ST 12-1 has the mark of drop-frame above the tens of frames.
    mark = ";" if frames & 0x40 else ":"
    return f"{hours & 0x3F:02x}:{minutes & 0x7F:02x}:{seconds & 0x7F:02x}{mark}{frames & 0x3F:02x}"


_DPX_PLACE = 1920


def is_timecode(stream: Stream) -> bool:
    """A track that holds time code and nothing else (QuickTime's tmcd), which no muxer of FFmpeg copies."""
    return stream.type == "data" and "timecode" in stream.metadata


def can_drop(rate: Fraction) -> bool:
    """Drop-frame exists at 30000/1001 and 60000/1001 frames per second."""
    return rate in (Fraction(30000, 1001), Fraction(60000, 1001))


def _left_out(nominal: int) -> int:
    """Labels that drop-frame leaves out at the start of a minute."""
    return nominal // 15


def _written(hours: int, minutes: int, seconds: int, frames: int, drop: bool) -> str:
    return f"{hours:02}:{minutes:02}:{seconds:02}{';' if drop else ':'}{frames:02}"
