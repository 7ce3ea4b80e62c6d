"""Samples to packets of another codec; lossless wherever the container has such a codec."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain

import av
import numpy as np
import numpy.typing as npt
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.packet import Packet

from restore.io.audio_frames import MOST_PLANES
from restore.io.sound import MAX_SILENCE, Samples, silence_of

LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}


@dataclass(frozen=True, slots=True)
class SoundTarget:
    """What a sound stream is converted to."""

    encoder: str
    rate: int
    """Samples per second."""
    layout: str
    """FFmpeg's name of the channel layout."""
    bits: int
    """16 or 24; 0: a lossy codec."""
    bit_rate: int = 0
    """Bits per second of a lossy codec."""
    whole_start: bool = False
    """Silence leads up to the first sample: the container knows no start but 0."""

    @property
    def codec(self) -> str:
        """FFmpeg's name of what comes out."""
        return self.encoder.removeprefix("lib")

    def text(self, rate: int, channels: int) -> str:
        """For people; `rate` and `channels` are the source's."""
        said = (
            f"lossless, {self.bits} bits" if self.bits else f"lossy, {self.bit_rate // 1000} kbit/s"
        )
        if self.rate != rate:
            said += f", resampled from {rate} to {self.rate} Hz"
        if self.layout == "stereo" and channels > 2:
            said += f", {channels} channels mixed down to stereo"
        if self.whole_start:
            said += ", led by silence where it begins later"
        return said


_LOSSLESS = {
    "matroska": ("flac",),
    "mp4": ("flac", "alac"),
    "mov": ("alac",),
    "avi": ("pcm_s16le", "pcm_s24le"),
    "mpegts": (),
    "webm": (),
}
"""Encoders to try, by container."""
_LOSSY = {"mpegts": ("aac",), "webm": ("libopus",)}
_LOSSY_BIT_RATE = 160_000
"""A channel: beyond what listening tests tell from the original, for each of the lossy encoders."""


def sound_targets(
    container: str, rate: int, channels: int, sample_format: str
) -> list[SoundTarget]:
    """What to try for a stream that `container` does not take as it is, best first."""
    bits = 16 if _is_16_bit(sample_format) else 24
    layout = LAYOUTS.get(channels, f"{channels} channels")
    targets = [
        SoundTarget(name, rate, layout, bits, whole_start=container == "avi")
        for name in _LOSSLESS.get(container, ("flac",))
        if not name.startswith("pcm") or f"s{bits}" in name
    ]
    for name in _LOSSY.get(container, ()):
        taken = sorted(av.Codec(name, "w").audio_rates or (rate,))
        # Opus itself always works at 48 kHz.
        nearest = (
            taken[-1] if name == "libopus" else next((r for r in taken if r >= rate), taken[-1])
        )
        targets.append(SoundTarget(name, nearest, layout, 0, _LOSSY_BIT_RATE * channels))
        if channels > 2:
            targets.append(SoundTarget(name, nearest, "stereo", 0, _LOSSY_BIT_RATE * 2))
    return targets


def _is_16_bit(sample_format: str) -> bool:
    """Integers that 16 bits hold."""
    return sample_format.removesuffix("p") in ("u8", "s16")


def open_sound(codec: AudioCodecContext, target: SoundTarget) -> None:
    """Set up and open the encoder `target` names."""
    taken = [f.name for f in codec.codec.audio_formats or ()]
    wanted = {16: ("s16", "s16p"), 24: ("s32", "s32p"), 0: ("flt", "fltp")}[target.bits]
    codec.format = next((name for name in wanted if name in taken), taken[0])
    codec.sample_rate, codec.layout = target.rate, target.layout
    codec.time_base = Fraction(1, target.rate)
    codec.options = {"flags": "+bitexact"}
    if target.bits == 24 and not target.encoder.startswith("pcm"):
        codec.options["bits_per_raw_sample"] = "24"
    if target.bit_rate:
        codec.bit_rate = target.bit_rate
    codec.open()


def encode_samples(
    codec: AudioCodecContext,
    timed: Iterable[tuple[Fraction | None, Samples]],
    origin: Fraction,
    rate: int,
    whole_start: bool = False,
) -> Iterator[Packet[AudioStream]]:
    """Packets in 1 / codec.sample_rate, sample 0 at the stream's start less `origin` seconds; `rate` is that of
    the samples. With `whole_start`, silence from 0 on leads, MAX_SILENCE at most. Raises ValueError: it would be
    more."""
    size = codec.frame_size or 4096
    held: list[Samples] = []
    first: int | None = None
    done = 0

    def emit(block: Samples) -> Iterator[Packet[AudioStream]]:
        nonlocal done
        frame = _frame(codec, block)
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        frame.pts = (first or 0) + done
        done += len(block)
        yield from codec.encode(frame)

    for start, samples in timed:
        lead: Iterator[Samples] = iter(())
        if first is None:
            first = 0 if start is None else round((start - origin) * rate)
            if whole_start and first > 0:
                if first > MAX_SILENCE * rate:
                    raise ValueError(f"it begins {first // rate} s late, and would need silence")
                lead = silence_of(first, rate, samples.shape[1])
                first = 0
        for part in chain(lead, [samples]):
            held.append(part)
            if sum(map(len, held)) < size:
                continue
            together = np.concatenate(held)
            whole = len(together) // size * size
            for at in range(0, whole, size):
                yield from emit(together[at : at + size])
            held = [together[whole:]]
    rest = np.concatenate(held) if held else np.zeros((0, 1), np.int32)
    if len(rest):
        yield from emit(rest)
    yield from codec.encode(None)


def _frame(codec: AudioCodecContext, block: Samples) -> av.AudioFrame:
    """In the encoder's own format where that holds integers, and PyAV can fill its planes; else it converts."""
    name = codec.format.name if codec.format.name.startswith(("s16", "s32")) else "s32"
    if block.shape[1] > MOST_PLANES:
        name = name.removesuffix("p")
    data: npt.NDArray[np.int32] | npt.NDArray[np.int16] = block
    if name.startswith("s16"):
        data = (block >> 16).astype(np.int16)
    packed = data.T.copy() if name.endswith("p") else data.reshape(1, -1)
    layout = LAYOUTS.get(block.shape[1], codec.layout.name)
    return av.AudioFrame.from_ndarray(packed, format=name, layout=layout)
