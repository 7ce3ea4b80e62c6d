"""Samples of a decoded frame of sound, whatever its channels.

PyAV counts the planes of a frame up to the first null pointer. FFmpeg puts none behind the planes of eight channels or more,
and what lies there is read as sound, or ends the process.
"""

from __future__ import annotations

from typing import Any

import av
import numpy as np
import numpy.typing as npt

MOST_PLANES = 7
"""Behind which a null pointer is sure to come."""


def samples_in(frame: av.AudioFrame) -> npt.NDArray[Any]:
    """(n, channels), in the frame's own numbers. Raises ValueError where FFmpeg cannot interleave them."""
    channels = frame.layout.nb_channels
    if frame.format.is_planar and channels <= MOST_PLANES:
        planes: npt.NDArray[Any] = frame.to_ndarray()
        return planes.T
    packed = [frame]
    if frame.format.is_planar:
        kind = frame.format.packed
        resampler = av.AudioResampler(format=kind, layout=frame.layout, rate=frame.sample_rate)
        packed = [*resampler.resample(frame), *resampler.resample(None)]
    blocks = [f.to_ndarray().reshape(-1, channels) for f in packed]
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def silence_like(frame: av.AudioFrame) -> av.AudioFrame:
    """As many samples of as many channels, without a time."""
    channels = frame.layout.nb_channels
    zeros = np.zeros((1, frame.samples * channels), np.int16)
    silent = av.AudioFrame.from_ndarray(zeros, format="s16", layout=frame.layout)
    silent.sample_rate, silent.time_base = frame.sample_rate, frame.time_base
    return silent
