"""Decoding by the CPU and by an NVIDIA card: frames a second, and how far their codes lie apart.

python benchmarks/decoding.py [--sizes 352x288,720x576,1920x1080] [--frames 200] [--card 0] [--json FILE]

H.264, whose codes the standard fixes, and MPEG-2, whose last bits it leaves open; through restore's own reader, so that
what a run gets of it is measured. Without a card its rows say why there is none.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import ffmpeg
import imageio_ffmpeg

from restore.errors import InputError
from restore.io.card import choose_decoder
from restore.io.decode import decode
from restore.io.probe import InputOptions, probe
from restore.io.source import Source
from restore.video import FrameBatch

CODECS = {"libx264": {"crf": 20, "preset": "veryfast"}, "mpeg2video": {"qscale:v": 4}}


def clip(path: Path, size: str, frames: int, codec: str) -> None:
    """A test picture with grain of a fixed seed."""
    source = ffmpeg.input(f"testsrc2=size={size}:rate=25", f="lavfi")
    picture = source.filter("noise", c0s=8, c0f="t", all_seed=7)
    options = {"vcodec": codec, "pix_fmt": "yuv420p", "vframes": frames, **CODECS[codec]}
    picture.output(str(path), **options).overwrite_output().run(
        cmd=imageio_ffmpeg.get_ffmpeg_exe(), quiet=True
    )


def read(source: Source) -> tuple[FrameBatch, float]:
    """Every frame, and seconds for one."""
    began = time.perf_counter()
    batches = list(decode(source, batch=16))
    taken = time.perf_counter() - began
    frames = FrameBatch.cat(batches)
    return frames, taken / len(frames)


def rows(path: Path, size: str, codec: str, card: int) -> list[dict[str, Any]]:
    """The CPU's and the card's."""
    source = probe(path, InputOptions())
    wanted, taken = read(source)
    named = {"size": size, "codec": codec}
    here = {**named, "by": "cpu", "ms": round(1000 * taken, 3), "frames_s": round(1 / taken, 1)}
    there = {**named, "by": f"card {card}"}
    try:
        chosen = choose_decoder(source, "cuda", False, card)
        if chosen.video.card is None:
            return [here, {**there, "error": chosen.notes[-1]}]
        read(chosen)  # the first opens the card
        found, taken = read(chosen)
    except (InputError, RuntimeError) as error:
        return [here, {**there, "error": str(error).splitlines()[0]}]
    there |= {"ms": round(1000 * taken, 3), "frames_s": round(1 / taken, 1)}
    if len(found) != len(wanted):
        return [here, {**there, "error": f"{len(found)} frames instead of {len(wanted)}"}]
    apart = max(
        int((a.int() - b.int()).abs().max())
        for a, b in zip(found.planes, wanted.planes, strict=True)
    )
    return [here, {**there, "most_codes_apart": apart}]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", default="352x288,720x576,1920x1080")
    parser.add_argument("--frames", type=int, default=200, help="at 352x288; fewer where larger")
    parser.add_argument("--card", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for size in options.sizes.split(","):
            width, height = map(int, size.split("x"))
            frames = max(16, min(options.frames, options.frames * 352 * 288 // (width * height)))
            for codec in CODECS:
                path = Path(folder) / f"{size}-{codec}.mkv"
                clip(path, size, frames, codec)
                found += rows(path, size, codec, options.card)
                print("\n".join(json.dumps(row) for row in found[-2:]), flush=True)
                if options.json:
                    options.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
