"""Closed captions that travel with frames: ATSC A/53 part 4, EIA-608 and 708, as cc_data triplets of three bytes.

A stage never sees them: they go from the decoder to the encoder as FrameInfo.captions.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import av
from av.codec.context import CodecContext
from av.packet import Packet, PacketSideData, packet_sidedata_type_from_literal
from av.sidedata.sidedata import Type
from av.stream import Stream

from restore.io.side_data import side_data_of

TRIPLET = 3
"""Bytes: what kind it is of, and two bytes of text or commands."""
MOST = 31 * TRIPLET
"""Bytes of one frame: its triplets are counted in five bits (CTA-708 4.4)."""
_SIDE = 16
"""Samples of a side of the frame that captions are put on first."""


def captions_of(frame: av.VideoFrame) -> bytes:
    """The captions of a decoded frame; empty where it has none."""
    for data in side_data_of(frame):
        if data.type is Type.A53_CC:
            found = bytes(data)[:MOST]
            return found[: len(found) // TRIPLET * TRIPLET]
    return b""


def spread_captions(captions: Sequence[bytes], frames: int) -> list[bytes]:
    """The captions of consecutive frames, in order, over `frames` frames that take their time."""
    whole = b"".join(captions)
    ends = [-(-len(whole) // TRIPLET * k // frames) * TRIPLET for k in range(frames + 1)]
    return [whole[begin:end][:MOST] for begin, end in pairwise(ends)]


def captioned_frame(width: int, height: int, pixel_format: str, captions: bytes) -> av.VideoFrame:
    """A frame that carries `captions`; its samples are to be written. PyAV gives no way to attach side data, but a
    decoder hands on that of its packet, and a conversion that of its frame."""
    packet: Packet[Stream] = Packet(bytes(_SIDE * _SIDE))
    packet.pts = 0
    side = PacketSideData(packet_sidedata_type_from_literal("a53_cc"), len(captions))  # type: ignore[call-arg]
    side.update(captions)
    packet.set_sidedata(side)
    decoder = CodecContext.create("rawvideo", "r")
    decoder.width = decoder.height = _SIDE
    decoder.pix_fmt = "gray"
    (carrier,) = decoder.decode(packet)
    frame = carrier.reformat(width, height, pixel_format, interpolation="POINT", threads=1)
    frame.pict_type = 0  # the encoder chooses
    return frame
