"""Decode, no stages, encode: restore against the static FFmpeg with the same settings, in turn.

python benchmarks/throughput.py INPUT [--loop 10] [--threads 2] [--runs 3] [--write docs/throughput.md]

`ratio` is of the transcode itself: restore's time from the start of the process until the file is whole, against
FFmpeg's. restore then reads the finished file again, decodes all of it and compares it with the source, which FFmpeg
does not do; `ratio_verified` has that in it.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import tempfile
from pathlib import Path

import imageio_ffmpeg
from measure import Run, restore, timed

CASES = {
    "ffv1": (["-level", "3", "-slicecrc", "1", "-g", "1"], 'codec = "ffv1"'),
    "x264 veryfast": (
        ["-preset", "veryfast", "-crf", "18"],
        'codec = "libx264"\npreset = "veryfast"\ncrf = 18',
    ),
    "x264 medium": (
        ["-preset", "medium", "-crf", "18"],
        'codec = "libx264"\npreset = "medium"\ncrf = 18',
    ),
}
"""FFmpeg's options and the [output] table that mean the same."""


def transcode(source: Path, target: Path, options: list[str], case: str, threads: int) -> Run:
    """What a user of FFmpeg would type."""
    codec = "ffv1" if case == "ffv1" else "libx264"
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", "-i", str(source),
        "-map", "0", "-fps_mode", "passthrough", "-c", "copy", "-c:v", codec, "-threads:v", str(threads),
        *options, str(target),
    ]  # fmt: skip
    return timed(command)


def looped(source: Path, folder: Path, times: int) -> Path:
    """`source` `times` times over, its packets copied."""
    if times < 2:
        return source
    target = folder / f"looped{source.suffix if source.suffix != '.dat' else '.mpg'}"
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-v", "quiet", "-y", "-stream_loop", str(times - 1),
        "-i", str(source), "-map", "0", "-c", "copy", str(target),
    ]  # fmt: skip
    run = timed(command)
    if run.code:
        raise SystemExit(run.text)
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("input", type=Path, nargs="+")
    parser.add_argument("--loop", type=int, default=1, help="play each input this many times over")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--case", choices=CASES, action="append", help="default: all")
    parser.add_argument("--write", type=Path, help="Markdown file for the figures")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for given in options.input:
            source = looped(given, folder, options.loop)
            for case in options.case or CASES:
                rows.append(compare(source, given.name, case, folder, options))
            if source is not given:
                source.unlink()
    if options.write:
        options.write.write_text(page(rows), "utf-8")


HEADS = {
    "input": "input", "size": "size", "encoder": "encoder", "frames": "frames", "restore_fps": "restore, frames/s",
    "ffmpeg_fps": "FFmpeg, frames/s", "ratio": "ratio", "ratio_verified": "with verification",
}  # fmt: skip


def page(rows: list[dict[str, object]]) -> str:
    """docs/throughput.md."""
    threads = rows[0]["threads"]
    lines = [
        "# Decode, no stages, encode: against FFmpeg",
        "",
        f"The same transcode with the same settings and {threads} threads for the encoder, by `restore run` with a pipeline",
        "file that has no stages, and by the static FFmpeg; in turn, medians of the pairs' ratios (above 1: restore is faster).",
        "The time of restore counts from the start of the process until the file is whole. *With verification*: until the",
        "file was also read back, decoded to its last frame and compared with the source, which FFmpeg does not do.",
        "Made by `python benchmarks/throughput.py INPUT... --loop N --write docs/throughput.md`.",
        "",
        "| " + " | ".join(HEADS.values()) + " |",
        "|" + "---|" * len(HEADS),
        *("| " + " | ".join(str(r[k]) for k in HEADS) + " |" for r in rows),
        "",
    ]
    return "\n".join(lines)


def compare(
    source: Path, name: str, case: str, folder: Path, options: argparse.Namespace
) -> dict[str, object]:
    """One input, one encoder: the runs of both, in turn, so that a busy machine hits both."""
    encoder, table = CASES[case]
    pipeline = folder / "empty.toml"
    pipeline.write_text(f"[output]\n{table}\n")
    ours, verified, theirs = [], [], []
    size = ""
    frames = 0
    for _ in range(options.runs):
        target = folder / "ours.mkv"
        run = restore(
            "run", pipeline, source, target, "--overwrite", "-v", "--threads", str(options.threads)
        )
        if run.code:
            raise SystemExit(run.text)
        found = re.search(r"frames\s+(\d+)\b", run.text)
        assert found is not None, run.text
        frames = int(found[1])
        phases = dict(re.findall(r"(\w+) ([\d.]+) s", run.text.split("wall clock: ")[-1]))
        ours.append(frames / (run.seconds - float(phases["verify"])))
        verified.append(frames / run.seconds)
        base = transcode(source, folder / "theirs.mkv", encoder, case, options.threads)
        if base.code:
            raise SystemExit(base.text)
        theirs.append(frames / base.seconds)
        size = re.findall(r"\d+x\d+", run.text)[0]
    ratio, with_verify = (
        statistics.median(a / b for a, b in zip(mine, theirs, strict=True))
        for mine in (ours, verified)
    )
    row = {
        "input": name, "encoder": case, "frames": frames, "threads": options.threads,
        "restore_fps": round(statistics.median(ours), 1), "ffmpeg_fps": round(statistics.median(theirs), 1),
        "ratio": round(ratio, 3), "ratio_verified": round(with_verify, 3), "size": size, "phases": phases,
    }  # fmt: skip
    print(row, flush=True)
    return row


if __name__ == "__main__":
    main()
