"""Windows Media Audio in Matroska, as Microsoft's own setup record (A_MS/ACM, RFC 9559): bit for bit.

PyAV refuses the copy, since FFmpeg lists no codec of Matroska for it, though its muxer writes it. So the track
begins as PCM with that record as its private data, which PCM never has, and restore.io.matroska gives it its name.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, cast

from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

from restore.io.reader import codec_name

_TAGS = {"wmav1": 0x160, "wmav2": 0x161}
"""wFormatTag of WAVEFORMATEX."""
_RECORD = struct.Struct("<HHIIHHH")
"""Tag, channels, rate, bytes a second, bytes of a block, bits, bytes that follow."""

PLACEHOLDER, NAME = b"A_PCM/INT/LIT", b"A_MS/ACM"


def is_wma(stream: Stream) -> bool:
    return codec_name(stream) in _TAGS


def add_wma(out: OutputContainer, known: Stream, packets: Iterable[Packet[Any]]) -> Stream:
    """A stream of `out`, a Matroska file, for copies of `known`'s packets. Raises ValueError where some of `packets`
    are no whole block (all blocks have one length, which decoders must know)."""
    sizes = {packet.size for packet in packets}
    source = cast(AudioStream, known).codec_context
    if len(sizes) != 1 or not source.bit_rate or not source.extradata:
        raise ValueError("its blocks are not of one length")
    added = out.add_stream("pcm_s16le", rate=source.sample_rate)
    context = added.codec_context
    context.format, context.layout = "s16", source.layout
    context.open()
    extra = bytes(source.extradata)
    context.extradata = _record(
        codec_name(known), source.channels, source.sample_rate, source.bit_rate, sizes.pop(), extra
    )
    return added


def _record(codec: str, channels: int, rate: int, bit_rate: int, block: int, extra: bytes) -> bytes:
    """WAVEFORMATEX with its codec's own setup behind it."""
    fields = (_TAGS[codec], channels, rate, bit_rate // 8, block, 16, len(extra))
    return _RECORD.pack(*fields) + extra


def is_record(private: bytes) -> bool:
    """Whether a track's private data is such a record."""
    if len(private) < _RECORD.size:
        return False
    tag, *_, extra = _RECORD.unpack_from(private)
    return tag in _TAGS.values() and len(private) == _RECORD.size + extra
