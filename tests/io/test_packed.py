"""DivX's packed bitstream: AVI has a slot for each frame and none for order, so a B-frame shares the slot of the frame
that it needs, and a picture that says nothing (an N-VOP) fills the slot that this leaves empty."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch
from av.packet import Packet
from media_clips import ffmpeg

from restore.io.decode import decode
from restore.io.join import open_source
from restore.io.probe import InputOptions
from restore.io.sound import SoundCount, sound_of
from restore.io.source import Source
from restore.video import FrameBatch

VOP = b"\0\0\1\xb6"
N_VOP = VOP + int("0101000001001111", 2).to_bytes(2, "big")
"""P, no second begins, marker, its time (5 bits at 25 frames/s), marker, not coded, stuffing (ISO 14496-2, 6.2.5)."""
B_TYPE = 2
"""vop_coding_type."""


def packed(chunks: list[bytes]) -> list[bytes]:
    """The same frames: each first B-frame behind the frame it follows, an N-VOP behind the last one."""
    types = [c[c.index(VOP) + 4] >> 6 for c in chunks]
    done: list[bytes] = []
    for before, chunk, now, after in zip([0, *types], chunks, types, [*types[1:], 0], strict=False):
        if now == B_TYPE and before != B_TYPE:
            done[-1] += chunk
        else:
            done.append(chunk)
        if now == B_TYPE and after != B_TYPE:
            done.append(N_VOP)
    return done


def signed(chunk: bytes) -> bytes:
    """As DivX signs a packed stream: decoders ask for the p. Only chunks with a header (VOL) are."""
    at = chunk.index(VOP)
    return chunk if at == 0 else chunk[:at] + b"\0\0\1\xb2DivX503b1393p" + chunk[at:]


def in_slots(plain: Path, target: Path) -> Path:
    """The AVI file `plain` with its picture packed."""
    with av.open(str(plain)) as source, av.open(str(target), "w") as out:
        picture, sound = (out.add_stream_from_template(s, opaque=True) for s in source.streams)
        picture.codec_context.codec_tag = "DX50"
        packets = [p for p in source.demux() if p.size]
        flow = [p for p in packets if p.stream_index == 1]
        base = source.streams[0].time_base
        for packet in flow:
            packet.stream = sound
        chunks = [bytes(p) for p in packets if p.stream_index == 0]
        slots = packed([signed(c) for c in chunks])
        assert len(slots) == len(chunks)
        assert sum(s.count(VOP) == 2 for s in slots) == slots.count(N_VOP) >= 12
        for number, slot in enumerate(slots):
            packet = Packet(slot)
            packet.stream, packet.time_base = picture, base
            packet.pts = packet.dts = number
            packet.is_keyframe = slot[slot.index(VOP) + 4] >> 6 == 0
            flow.append(packet)
        for packet in sorted(flow, key=lambda p: p.dts * p.time_base):
            out.mux(packet)
    return target


def heard(source: Source) -> tuple[Fraction | None, int]:
    """(seconds of the first sample, samples)."""
    blocks = list(sound_of(source, 1, SoundCount()))
    return blocks[0][0], sum(len(samples) for _, samples in blocks)


@pytest.mark.parametrize("b_frames", [1, 2])
def test_a_packed_stream_is_as_the_plain_one(tmp_path: Path, b_frames: int) -> None:
    plain = tmp_path / "plain.avi"
    ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=size=96x64:rate=25:duration=1.6",
        "-f", "lavfi", "-i", "sine=duration=1.6:sample_rate=44100",
        "-c:v", "mpeg4", "-bf", str(b_frames), "-g", "12", "-sc_threshold", "1000000000",
        "-flags", "+bitexact", "-q:v", "3", "-c:a", "mp2", plain,
    )  # fmt: skip
    wanted, found = (
        open_source((clip,), InputOptions())
        for clip in (plain, in_slots(plain, tmp_path / "packed.avi"))
    )
    one, other = (FrameBatch.cat(list(decode(source))) for source in (wanted, found))
    assert len(one) == len(other) == 40
    assert one.format == other.format
    assert one.frames == other.frames
    assert not any(frame.damaged for frame in other.frames)
    assert all(torch.equal(a, b) for a, b in zip(one.planes, other.planes, strict=True))
    assert heard(wanted) == heard(found)
