"""Where the time of a run goes: networks alone, whole pipelines stage by stage, and a common script beside them.

python benchmarks/performance.py [--sizes 352x288,720x576,1920x1080] [--frames 48] [--device auto]
    [--networks NAME,...] [--pipelines NAME,...] [--json FILE] [--write docs/performance.md]
python benchmarks/performance.py --pieces FILE,... --write docs/performance.md

The second puts together what several runs measured, where a machine is quiet for minutes at a time.

1. Networks: benchmarks/backends.py, which measures the ceilings of the machine as well.
2. Whole runs of each pipeline as processes, beside the floor (FFmpeg's Lanczos and the same x264) and, per network, a
   Real-ESRGAN-style loop (benchmarks/peer_loop.py), in turn so that a busy machine hits all.
Speeds of whole runs are of the frames after the start: two lengths are run, `--frames` and a quarter of it, and the
difference counts; `start` is what is left over. `--preset` is the encoder's in all of them.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import ffmpeg
import imageio_ffmpeg
from measure import ROOT, Run, lanczos_x264, restore, timed

PIPELINES = "lanczos_x2,bw_film_x2_fast,bw_film_x2"


def clip(path: Path, size: str, frames: int) -> None:
    """Black-and-white MPEG-1 of `frames` frames at 25 a second, that moves; grain of a fixed seed."""
    source = ffmpeg.input(f"testsrc2=size={size}:rate=25", f="lavfi")
    picture = source.filter("hue", s=0).filter("noise", c0s=8, c0f="t", all_seed=7)
    options = {"vcodec": "mpeg1video", "qscale:v": 5, "vframes": frames, "threads": 1}
    picture.output(str(path), **options).overwrite_output().run(
        cmd=imageio_ffmpeg.get_ffmpeg_exe(), quiet=True
    )


class FailedError(Exception):
    """A process that did not end well; its last line."""


def ok(run: Run) -> Run:
    if run.code:
        raise FailedError(
            f"status {run.code}: {(run.text.strip() or 'no output').splitlines()[-1]}"
        )
    return run


def whole_runs(size: str, options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """A row per pipeline and per thing to compare with, at one size."""
    clips = {n: folder / f"{size}-{n}.mpg" for n in (options.frames // 4, options.frames)}
    for frames, path in clips.items():
        clip(path, size, frames)
    target, record = folder / "out.mkv", folder / "record.json"
    rows = []

    def pair(what: str, go: Any) -> dict[str, Any]:
        (few, short), (many, long) = ((n, ok(go(p))) for n, p in clips.items())
        per_frame = max(1e-6, (long.seconds - short.seconds) / (many - few))
        row = {
            "size": size, "what": what, "frames_s": round(1 / per_frame, 2), "ms": round(1000 * per_frame, 1),
            "start_seconds": round(short.seconds - few * per_frame, 2),
            "cpu_ms": round(1000 * (long.cpu - short.cpu) / (many - few), 1), "peak_mib": round(long.peak_mib),
        }  # fmt: skip
        rows.append(row)
        return row

    for name in filter(None, options.pipelines.split(",")):

        def ours(path: Path, name: str = name) -> Run:
            return restore(
                "run", name, path, target, "--overwrite", "--device", options.device, "--json", record,
                "--threads", options.threads, f"--set=output.preset={options.preset}",
            )  # fmt: skip

        try:
            row = pair(f"restore, {name}", ours)
        except FailedError as error:
            rows.append({"size": size, "what": f"restore, {name}", "error": str(error)})
            print(json.dumps(rows[-1]), flush=True)
            continue
        document = json.loads(record.read_text())
        stages = document["timing"]["stages"]
        made = document["frames"]
        row["stages_ms"] = {
            where.rpartition("(")[2].rstrip(")"): round(1000 * seconds / made, 2)
            for where, seconds in stages.items()
        }
        row["back_ends"] = {s.split()[0]: c["name"] for s, c in document["back_ends"].items()}
        print(json.dumps(row), flush=True)
    if options.floor:
        floor = pair("floor: FFmpeg, Lanczos", lambda p: lanczos_x264(p, target, options.preset))
        print(json.dumps(floor), flush=True)
    if options.peer:
        loop = [sys.executable, str(ROOT / "benchmarks" / "peer_loop.py")]

        def peer(path: Path) -> Run:
            more = ["--size", size, "--preset", options.preset, "--threads", str(options.threads)]
            return timed([*loop, str(path), str(target), *more])

        print(json.dumps(pair("loop of R, G, B frames, float32, same layers", peer)), flush=True)
    return rows


def page(documents: list[dict[str, Any]], commands: list[str]) -> str:
    """The tables of docs/performance.md."""
    lines = ["Made by", "", *(f"    {command}" for command in commands)]
    head = "| network | size | back end | ms a frame | frames/s | GFLOP/s | share of the ceiling | with resampled skip, ms |"
    for document in documents:
        alone = document["networks"]
        if not alone.get("rows"):
            continue
        limits = ", ".join(f"{k} {v}" for k, v in alone["ceilings"].items())
        lines += [
            "",
            f"{alone['device']}, {alone['threads']} threads, torch {alone['torch']}; ceilings in this run: {limits} (GFLOP/s; "
            "copy in GB/s).",
            "",
            head,
            "|---|---|---|---|---|---|---|---|",
        ]
        for r in alone["rows"]:
            begin = f"| {r['network']} | {r['size']} | {r['back_end']} |"
            if "error" in r:
                lines.append(f"{begin} {r['error']} | | | | |")
            else:
                lines.append(
                    f"{begin} {r['ms']:.1f} | {r['frames_s']:.1f} | {r['gflop_s']:.0f} | {r['share']:.2f} | {r['with_skip_ms']:.1f} |"
                )
    lines += [
        "",
        "| size | threads | what | back end | ms a frame | frames/s | CPU ms a frame | of that, stages | start, s | peak MiB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for document in documents:
        for r in document["runs"]:
            if "error" in r:
                begin = f"| {r['size']} | {document['threads']} | {r['what']} |"
                lines.append(f"{begin} {r['error']} | | | | | | |")
                continue
            stages = ", ".join(f"{k} {v}" for k, v in r.get("stages_ms", {}).items()) or "-"
            backs = ", ".join(r.get("back_ends", {}).values()) or "-"
            lines.append(
                f"| {r['size']} | {document['threads']} | {r['what']} | {backs} | {r['ms']} | {r['frames_s']} | {r['cpu_ms']} | {stages} | "
                f"{r['start_seconds']} | {r['peak_mib']} |"
            )
    return "\n".join(lines) + "\n"


MARK = "<!-- made by benchmarks/performance.py; do not edit below -->\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", default="352x288,720x576,1920x1080")
    parser.add_argument(
        "--frames", type=int, default=48, help="at 352x288; fewer where frames are larger"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--networks", default="film_x2_fast", help="'': none alone")
    parser.add_argument("--pipelines", default=PIPELINES, help="'': none")
    parser.add_argument("--floor", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--pieces", help="files of --json: measure nothing")
    parser.add_argument("--preset", default="veryfast")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--no-peer", dest="peer", action="store_false")
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--write", type=Path, help="replaces the tables below the mark in this page"
    )
    options = parser.parse_args()
    command_line = f"python benchmarks/performance.py {' '.join(sys.argv[1:])}"
    if options.pieces:
        documents = [json.loads(Path(p).read_text("utf-8")) for p in options.pieces.split(",")]
    else:
        documents = [{"command": command_line, **measured(options)}]
    if options.json:
        options.json.write_text(json.dumps(documents[0], indent=1) + "\n", "utf-8")
    if options.write:
        words = options.write.read_text("utf-8").partition(MARK)[0]
        made = page(documents, [d["command"] for d in documents])
        options.write.write_text(f"{words}{MARK}\n{made}", "utf-8")


def measured(options: argparse.Namespace) -> dict[str, Any]:
    document: dict[str, Any] = {"threads": options.threads, "networks": {}, "runs": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        alone = folder / "networks.json"
        command = [
            sys.executable, str(ROOT / "benchmarks" / "backends.py"), "--device", options.device, "--sizes", options.sizes,
            "--networks", options.networks, "--threads", str(options.threads), "--seconds", str(options.seconds),
            "--json", str(alone),
        ]  # fmt: skip
        if options.networks:
            print(ok(timed(command)).text, flush=True)
            document["networks"] = json.loads(alone.read_text())
        most = options.frames
        for size in options.sizes.split(","):
            width, height = map(int, size.split("x"))
            options.frames = max(8, min(most, round(most * 352 * 288 / (width * height))))
            document["runs"] += whole_runs(size, options, folder)
    return document


if __name__ == "__main__":
    main()
