"""A checksum of every decoded frame, in the format of FFmpeg's framemd5."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path

import av

from restore import __version__
from restore.faults import cannot_write
from restore.io.pixels import packed_planes
from restore.io.reader import open_input


def sidecar_of(video: Path) -> Path:
    """Where the checksums of `video` belong."""
    return video.with_name(f"{video.name}.framemd5")


def write_framemd5(video: Path, sidecar: Path) -> None:
    """Decode the first video stream of `video` and write its frames' checksums to `sidecar`: the lines that
    `ffmpeg -i VIDEO -map 0:v:0 -fps_mode passthrough -f framemd5 -` prints, in the container's own ticks.
    Raises OutputError where a frame cannot be decoded or the file not be written."""
    try:
        with open_input(video) as file, sidecar.open("w", encoding="ascii", newline="\n") as out:
            stream = file.streams.video[0]
            stream.codec_context.thread_type = "AUTO"
            base, aspect = Fraction(stream.time_base or 1), stream.sample_aspect_ratio
            shape = f"{aspect.numerator}/{aspect.denominator}" if aspect else "0/1"
            out.write(
                f"#format: frame checksums\n#version: 2\n#hash: MD5\n#software: restore {__version__}\n"
                f"#tb 0: {base.numerator}/{base.denominator}\n#media_type 0: video\n#codec_id 0: rawvideo\n"
                f"#dimensions 0: {stream.width}x{stream.height}\n#sar 0: {shape}\n"
                "#stream#, dts,        pts, duration,     size, hash\n"
            )
            for frame in file.decode(stream):
                digest, size = hashlib.md5(usedforsecurity=False), 0
                for plane in packed_planes(frame):
                    digest.update(plane.data)
                    size += plane.nbytes
                pts, duration = frame.pts or 0, frame.duration or 0
                out.write(
                    f"0, {pts:10d}, {pts:10d}, {duration:8d}, {size:8d}, {digest.hexdigest()}\n"
                )
    except (av.FFmpegError, ValueError, OSError) as error:
        raise cannot_write(sidecar, error) from error
