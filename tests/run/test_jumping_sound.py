"""Sound whose times jump, that is spliced, damaged, or not there: the plan, the output and its check agree."""

from __future__ import annotations

import subprocess
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import numpy as np
import pytest
from av.packet import Packet

from restore.errors import OutputError
from restore.io import mux, sound
from restore.io.audio_frames import samples_in, silence_like
from restore.io.probe import InputOptions, probe
from restore.pipeline import PipelineSpec, read_pipeline
from restore.placing import read_plain
from restore.run.job import Job, Listener, Summary, prepare
from restore.run.local import run

Packets = list["Packet[Any]"]
MPEG2 = ("-c:v", "mpeg2video", "-c:a", "mp2", "-pes_payload_size", "0")
FRAME = 1152
"""Samples of MP2 and MP3 (at 44.1 kHz)."""


@pytest.fixture
def spec(tmp_path: Path) -> PipelineSpec:
    path = tmp_path / "none.toml"
    path.write_text('[output]\npreset = "ultrafast"\n')
    return read_pipeline(path)


def clip(path: Path, *options: str, seconds: str = "2") -> Path:
    """A picture of 12.5 frames a second and a tone."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y"]
    command += ["-f", "lavfi", "-i", f"testsrc2=size=64x48:rate=25/2:duration={seconds}"]
    command += ["-f", "lavfi", "-i", f"sine=sample_rate=44100:duration={seconds}"]
    subprocess.run([*command, "-g", "5", "-bf", "0", *options, str(path)], check=True)
    return path


def remuxed(source: Path, name: str, change: Callable[[Packets], Packets]) -> Path:
    """`source` as the file `name` beside it, its packets changed."""
    out = source.with_name(name)
    with av.open(str(source)) as file, av.open(str(out), "w") as made:
        packets = change([p for p in file.demux() if p.size])
        streams = {s.index: made.add_stream_from_template(s) for s in file.streams}
        for packet in packets:
            packet.stream = streams[packet.stream_index]
            made.mux_one(packet)
    return out


def moved(packet: Packet[Any], seconds: Fraction) -> Packet[Any]:
    ticks = round(seconds / Fraction(packet.time_base))
    packet.pts, packet.dts = (None if t is None else t + ticks for t in (packet.pts, packet.dts))
    return packet


def of_sound(packets: Packets) -> Packets:
    return [p for p in packets if p.stream.type == "audio"]


@dataclass
class Ear(Listener):
    """Remembers what it was told."""

    heard: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.heard.append(text)


@dataclass(frozen=True)
class Made:
    summary: Summary
    heard: list[str]

    @property
    def samples(self) -> int:
        (count,) = self.summary.verified.audio_samples.values()
        return count


def restored(
    spec: PipelineSpec,
    source: Path,
    name: str,
    start: Fraction | None = None,
    end: Fraction | None = None,
) -> Made:
    ear = Ear()
    job = Job(spec, (source,), source.with_name(name), "cpu", start, end, threads=1)
    summary = run(prepare(job), ear)
    assert not list(source.parent.glob("*.failed"))
    return Made(summary, ear.heard)


VIDEO, SOUND = 0xE0, 0xC0
"""MPEG's stream numbers."""


def restamped(source: Path, name: str, change: Callable[[int, int, int], int | None]) -> Path:
    """A transport stream with other times, in 90000ths of a second: `change` is given the stream, the number of the
    piece in it and its time, and answers with the new one, or None: what the piece holds is overwritten."""
    data, out = bytearray(source.read_bytes()), source.with_name(name)
    numbers = {VIDEO: 0, SOUND: 0}
    broken: set[int] = set()
    for packet in range(0, len(data), 188):
        pid, skipped = data[packet + 1 : packet + 3], 4
        if data[packet + 3] & 0x20:
            skipped += 1 + data[packet + 4]
        at = packet + skipped
        program = ((pid[0] & 0x1F) << 8) | pid[1]
        if not data[packet + 1] & 0x40 or data[at : at + 3] != b"\0\0\1":
            if program in broken:
                data[at : packet + 188] = b"\x12" * (packet + 188 - at)
            continue
        stream = data[at + 3]
        broken.discard(program)
        if stream not in numbers or not data[at + 7] & 0x80:
            continue
        old = data[at + 9 : at + 14]
        pts = (
            (old[0] >> 1 & 7) << 30 | old[1] << 22 | (old[2] >> 1) << 15 | old[3] << 7 | old[4] >> 1
        )
        new = change(stream, numbers[stream], pts)
        numbers[stream] += 1
        if new is None:
            broken.add(program)
            begin = at + 9 + data[at + 8]
            data[begin : packet + 188] = b"\x12" * (packet + 188 - begin)
            continue
        fields = (
            new >> 29 & 0xE,
            new >> 22 & 0xFF,
            new >> 14 & 0xFE,
            new >> 7 & 0xFF,
            new << 1 & 0xFE,
        )
        marks = (old[0] & 0xF1, 0, 1, 0, 1)
        data[at + 9 : at + 14] = bytes(f | m for f, m in zip(fields, marks, strict=True))
    out.write_bytes(data)
    return out


@pytest.mark.parametrize("container", ["ts", "mkv", "mp4", "mov", "avi"])
def test_a_part_of_a_clock_that_begins_again_holds_all_sound_of_its_time(
    tmp_path: Path, spec: PipelineSpec, container: str
) -> None:
    """Behind a splice the clock is where it was at the beginning: what follows belongs behind what was before."""
    one = clip(tmp_path / "one.ts", *MPEG2, seconds="1.6")
    spliced = tmp_path / "spliced.ts"
    spliced.write_bytes(one.read_bytes() * 2)
    made = restored(spec, spliced, f"out.{container}", Fraction(1), Fraction(11, 5))
    # 1.2 s of it, begun and ended at whole packets where they are copied.
    assert abs(made.samples - 44100 * 6 // 5) <= 2 * FRAME
    assert made.summary.frames == 15
    assert not made.summary.verified.unverified


def test_a_false_first_time_does_not_move_the_sound(tmp_path: Path, spec: PipelineSpec) -> None:
    """The first packets cannot be decoded, and the first that can claims a time before all of them."""
    known = clip(tmp_path / "known.ts", *MPEG2)

    def change(stream: int, number: int, pts: int) -> int | None:
        if stream == VIDEO or number > 4:
            return pts
        return None if number < 4 else pts - 40000

    source = restamped(known, "false.ts", change)
    truth, found = (probe(path, InputOptions()) for path in (known, source))
    (before,), (after,) = truth.audio, found.audio
    assert before.start is not None and after.start is not None
    # Where four packets more would begin.
    assert abs(after.start - before.start - Fraction(4 * FRAME, 44100)) < Fraction(FRAME, 44100)
    for name in ("out.mkv", "out.mp4", "out.ts", "out.avi"):
        assert not restored(spec, source, name).summary.verified.unverified


@pytest.mark.parametrize("container", ["mp4", "ts", "mov", "mkv", "avi"])
def test_a_part_in_which_no_sound_lies_is_made_without(
    tmp_path: Path, spec: PipelineSpec, container: str
) -> None:
    """QuickTime lists no track without samples."""
    known = clip(tmp_path / "known.mkv", "-c:v", "mpeg4", "-c:a", "aac")
    short = remuxed(
        known, "short.mkv", lambda all_: [p for p in all_ if p not in of_sound(all_)[20:]]
    )
    made = restored(spec, short, f"out.{container}", Fraction(1))
    assert made.summary.verified.audio_samples == {}
    assert any("stream 1: planned to" in line and ": drop" in line for line in made.heard)
    with av.open(str(tmp_path / f"out.{container}")) as file:
        assert [s.type for s in file.streams] == ["video"]


def test_a_reader_that_takes_mp2_for_mp3_is_not_contradicted(
    tmp_path: Path, spec: PipelineSpec
) -> None:
    """Transport streams tell them apart by their packets alone, and here both are in one stream."""
    one = clip(tmp_path / "one.ts", *MPEG2, seconds="1.6")
    two = clip(tmp_path / "two.ts", "-c:v", "mpeg2video", "-c:a", "libmp3lame", seconds="1.6")
    spliced = tmp_path / "spliced.ts"
    spliced.write_bytes(one.read_bytes() + two.read_bytes())
    made = restored(spec, spliced, "out.ts", Fraction(17, 10))
    assert made.summary.verified.audio_samples
    assert made.summary.frames > 10


def test_a_transport_stream_of_one_frame_is_known_for_one(
    tmp_path: Path, spec: PipelineSpec
) -> None:
    source = clip(tmp_path / "clip.mkv", "-c:v", "mpeg4", "-c:a", "mp2")
    made = restored(spec, source, "out.ts", Fraction(0), Fraction(1, 100))
    assert made.summary.frames == 1
    with av.open(str(tmp_path / "out.ts")) as file:
        assert file.format.name == "mpegts"


def test_sound_with_a_gap_is_not_copied_to_avi(tmp_path: Path, spec: PipelineSpec) -> None:
    known = clip(tmp_path / "known.ts", *MPEG2)
    whole = restored(spec, known, "whole.avi")
    assert not any("planned to" in line for line in whole.heard)
    gap = remuxed(known, "gap.ts", lambda all_: [p for p in all_ if p not in of_sound(all_)[50:60]])
    made = restored(spec, gap, "gap.avi")
    assert any("planned to copy, but avi plays packets without a break" in x for x in made.heard)
    # With as much silence as was lost: nothing plays early.
    assert abs(made.samples - whole.samples) < FRAME


def test_sound_that_begins_later_than_its_plan_knew(tmp_path: Path, spec: PipelineSpec) -> None:
    """The first picture's stamp is false, and the true one half a second earlier: AVI, which has no start but 0,
    gets sound that leads with silence."""
    known = clip(tmp_path / "known.ts", *MPEG2)

    def change(stream: int, number: int, pts: int) -> int:
        late = stream == SOUND or number == 0
        return pts + 45000 * late

    source = restamped(known, "late.ts", change)
    made = restored(spec, source, "out.avi")
    assert any("planned to copy" in line and "convert to pcm_s16le" in line for line in made.heard)
    assert made.samples >= 44100 * 5 // 2 - FRAME


def test_what_the_source_contradicts_is_delivered_and_said(
    tmp_path: Path, spec: PipelineSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same loss is an error where the source is whole, and a doubt where its packets are broken."""
    known = clip(tmp_path / "known.mkv", "-c:v", "mpeg4", "-c:a", "mp2")

    def broken(packets: Packets) -> Packets:
        at = packets.index(of_sound(packets)[20])
        bad: Packet[Any] = Packet(b"\x12" * 100)
        bad.stream, bad.time_base = packets[at].stream, packets[at].time_base
        bad.pts, bad.dts, bad.duration = packets[at].pts, packets[at].dts, packets[at].duration
        return [*packets[:at], bad, *packets[at + 1 :]]

    damaged = remuxed(known, "damaged.mkv", broken)
    assert not restored(spec, damaged, "same.mkv").summary.verified.unverified

    copied = mux._copied_sound

    def loses_some(*arguments: Any) -> Any:
        for number, timed in enumerate(copied(*arguments)):
            if not 30 <= number < 33:
                yield timed

    monkeypatch.setattr(mux, "_copied_sound", loses_some)
    made = restored(spec, damaged, "out.mkv")
    (why,) = made.summary.verified.unverified.values()
    assert "1 packets cannot be decoded in its source" in why
    assert "(and 23 hidden ones), found" in why
    assert any("not verified" in line for line in made.heard)
    assert any("not verified" in line for line in made.summary.notes)
    with pytest.raises(OutputError, match="expected 88200 samples of sound"):
        restored(spec, known, "error.mkv")


@pytest.mark.parametrize("name", ["out.avi", "out.ts", "out.mkv", "out.mp4"])
def test_frames_closer_than_a_container_can_show(
    tmp_path: Path, spec: PipelineSpec, name: str
) -> None:
    """AVI's shortest slot is a millisecond, a transport stream has 90000 ticks a second."""
    source = clip(tmp_path / "clip.nut", "-c:v", "mpeg4", "-an")

    def squeezed(packets: Packets) -> Packets:
        for number, packet in enumerate(packets):
            base = Fraction(packet.time_base)
            packet.pts = packet.dts = round(Fraction(number, 3072) / base)
        return packets

    close = remuxed(source, "close.nut", squeezed)
    made = restored(spec, close, name)
    assert made.summary.frames == 25
    told = [line for line in made.heard if "frames closer than a millisecond" in line]
    assert len(told) == (name == "out.avi")


def test_reading_a_small_file_takes_no_room_for_a_large_one(tmp_path: Path) -> None:
    """A record may have up to a gigabyte: a process with less memory left reads one of a few bytes."""
    small = tmp_path / "record.json"
    small.write_bytes(b"{}")
    tracemalloc.start()
    assert read_plain(small, 1 << 30) == b"{}"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_a_second_setup_does_not_spoil_the_header(tmp_path: Path, spec: PipelineSpec) -> None:
    """Behind the splice the sound comes with its codec's setup again, and it is a longer one."""
    codecs = ("-c:v", "libx264", "-c:a", "aac")
    one = clip(tmp_path / "one.flv", *codecs, "-ac", "1")
    two = clip(tmp_path / "two.flv", *codecs, "-ac", "6", "-ar", "22050")
    spliced = tmp_path / "spliced.flv"
    spliced.write_bytes(one.read_bytes() + two.read_bytes()[13:])
    made = restored(spec, spliced, "out.mkv")
    assert made.summary.frames == 50
    with av.open(str(tmp_path / "out.mkv")) as file:
        assert [s.type for s in file.streams] == ["video", "audio"]


def test_samples_before_the_first_known_time_count_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decoder that swallows a packet it cannot read gives the next samples without a time."""
    source = probe(clip(tmp_path / "clip.mkv", "-c:v", "mpeg4", "-c:a", "mp2"), InputOptions())
    decoded = sound._decoded

    def timeless(*arguments: Any) -> list[av.AudioFrame] | None:
        frames = decoded(*arguments)
        for frame in frames or []:
            if frame.pts is not None and frame.pts * Fraction(frame.time_base or 0) < Fraction(
                1, 4
            ):
                frame.pts = None
        return frames

    (true, _), *_ = sound.sound_of(source, 1, sound.SoundCount())
    monkeypatch.setattr(sound, "_decoded", timeless)
    starts = {start for start, _ in sound.sound_of(source, 1, sound.SoundCount())}
    (start,) = starts
    assert start is not None and true is not None
    assert abs(start - true) < Fraction(2, 1000)


@pytest.mark.parametrize("name", ["out.mkv", "out.mp4", "out.ts", "out.avi"])
def test_a_time_of_a_billion_years_is_none(tmp_path: Path, spec: PipelineSpec, name: str) -> None:
    known = clip(tmp_path / "known.nut", "-c:v", "mpeg4", "-c:a", "mp2")

    def damaged(packets: Packets) -> Packets:
        for group in (of_sound(packets), [p for p in packets if p not in of_sound(packets)]):
            group[-1].pts = group[-1].dts = 3 << 60
        return packets

    source = remuxed(known, "damaged.nut", damaged)
    made = restored(spec, source, name)
    assert made.summary.frames == 25
    assert Fraction(19, 10) < made.summary.duration < Fraction(22, 10)


@pytest.mark.parametrize(("channels", "layout"), [(7, "6.1"), (8, "7.1"), (16, "16 channels")])
def test_sound_of_many_planes_is_read_to_the_last_and_no_further(
    channels: int, layout: str
) -> None:
    """FFmpeg puts no null pointer behind eight planes or more, where PyAV looks for one."""
    wanted = np.arange(100 * channels, dtype=np.float32).reshape(1, -1) / 2**20
    packed = av.AudioFrame.from_ndarray(wanted, format="flt", layout=layout)
    packed.sample_rate = 48000
    (planar,) = av.AudioResampler(format="fltp", layout=layout, rate=48000).resample(packed)
    assert planar.format.is_planar
    assert np.array_equal(samples_in(planar), wanted.reshape(100, channels))
    silent = silence_like(planar)
    assert silent.samples == 100
    assert sound.to_samples(silent, sound.SoundCount()).shape == (100, channels)
    assert sound.to_samples(planar, sound.SoundCount()).shape == (100, channels)
