"""The motion service: how far off it is where the truth is known, and how long it takes.

    python benchmarks/motion.py [--presets ultrafast fast medium lk] [--write docs/motion.md]

Scenes are drawn, 352x288, so that their motion is known at every sample; EPE is the mean distance in samples between
the flow found and the truth, over samples that both frames show. *coded*: both frames went through MPEG-1 at 600 kb/s.
A scene with a moving thing has an EPE on the thing and one on the rest. Times are medians of
processor time on one thread.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from motion_scenes import CAMERAS, THINGS, Scene
from numpy.typing import NDArray

from restore.evaluate.recipes import mpeg1
from restore.flow import Estimator, Field
from restore.lucas_kanade import estimate
from restore.motion import MotionOptions, MotionService
from restore.train.codecs import decode, encode
from restore.video import FrameInfo

CPU = torch.device("cpu")
SIZES = [(288, 352), (576, 720), (720, 1280)]
PAIRS = [(3, 4), (3, 2), (3, 5)]
"""Target and reference."""
PRESETS = ("ultrafast", "fast", "medium", "lk")
"""Of dense inverse search; and Lucas-Kanade."""
Codes = NDArray[np.uint8]


def film(scene: Scene, coded: bool) -> Codes:
    """(7, height, width)."""
    frames = np.stack([scene.frame(t) for t in range(7)])
    codes = np.clip(np.rint(frames), 0, 255).astype(np.uint8)
    if not coded:
        return codes
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mpg"
        encode(codes, mpeg1(600), path)
        return decode(path, (codes.shape[1], codes.shape[2])).copy()


def options_for(preset: str) -> MotionOptions:
    return MotionOptions.model_validate({"method": "lk"} if preset == "lk" else {"preset": preset})


def service(codes: Codes, preset: str) -> MotionService:
    found = MotionService(options_for(preset), CPU)
    infos = tuple(FrameInfo(i, i, 1) for i in range(len(codes)))
    found.add(infos, (torch.from_numpy(codes)[:, None].float() - 16) / 219)
    return found


def errors(scene: Scene, codes: Codes, preset: str) -> tuple[float, float]:
    """EPE (of the scenery, of the thing), means over PAIRS; not a number where there is no thing."""
    motion, size = service(codes, preset), (scene.height, scene.width)
    rest, thing = [], []
    for target, reference in PAIRS:
        flow: Field = motion.flow(target, reference, size)[0].permute(1, 2, 0).numpy()
        truth, visible = scene.flow(target, reference)
        off = np.hypot(*(flow - truth).transpose(2, 0, 1))
        if scene.thing is None:
            rest.append(float(off[visible].mean()))
            continue
        mask = scene.thing_mask(target)
        rest.append(float(off[visible & ~mask].mean()))
        thing.append(float(off[visible & mask].mean()))
    return statistics.mean(rest), statistics.mean(thing) if thing else float("nan")


def median_ms(work: Callable[[int], object], runs: int) -> float:
    """Milliseconds of processor time for one call; the first is not counted."""
    work(0)
    times = []
    for n in range(runs):
        started = time.thread_time()
        work(n + 1)
        times.append(1000 * (time.thread_time() - started))
    return statistics.median(times)


def speed(preset: str, size: tuple[int, int], runs: int) -> float:
    """Milliseconds for the flow of a pair."""
    scene = replace(CAMERAS[2], height=size[0], width=size[1])
    codes = np.stack([np.clip(scene.frame(t), 0, 255).astype(np.uint8) for t in range(2)])

    if preset == "lk":
        planes = [torch.from_numpy(c)[None, None].float() for c in codes]
        with torch.inference_mode():
            return median_ms(lambda _: estimate(planes[0], planes[1]), runs)
    estimator = Estimator(preset)
    return median_ms(lambda _: estimator(codes[0], codes[1]), runs)


def accuracy_table(presets: list[str]) -> list[str]:
    heads = [f"{p}{how}" for p in presets for how in ("", ", coded")]
    lines = ["| scene | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for scene in [*CAMERAS, *THINGS]:
        cells = []
        for coded in (False, True):
            codes = film(scene, coded)
            cells.append([errors(scene, codes, preset) for preset in presets])
        row = [cells[how][n] for n in range(len(presets)) for how in (0, 1)]
        both = [
            f"{rest:.2f}" if thing != thing else f"{thing:.2f} (rest {rest:.2f})"
            for rest, thing in row
        ]
        lines.append(f"| {scene.title} | " + " | ".join(both) + " |")
        print(lines[-1], flush=True)
    return lines


def speed_table(presets: list[str], runs: int) -> list[str]:
    heads = [f"{w}x{h}" for h, w in SIZES]
    lines = ["| preset | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for preset in presets:
        cells = [f"{speed(preset, size, runs):.1f}" for size in SIZES]
        lines.append(f"| {preset} | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--presets", nargs="*", default=list(PRESETS), choices=PRESETS)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--write", type=Path, help="Markdown; what stands between its marks")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    tables = {
        "epe": accuracy_table(options.presets),
        "speed": speed_table(options.presets, options.runs),
    }
    if options.write:
        text = options.write.read_text("utf-8")
        for name, lines in tables.items():
            text = placed(text, name, lines)
        options.write.write_text(text, "utf-8")


def placed(text: str, name: str, lines: list[str]) -> str:
    """`text` with what stands between the marks <!-- name --> and <!-- /name --> replaced by `lines`."""
    first, last = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    before, _, rest = text.partition(first)
    _, _, after = rest.partition(last)
    return before + first + "".join(f"{line}\n" for line in lines) + last + after


if __name__ == "__main__":
    main()
