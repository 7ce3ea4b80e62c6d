"""Motion by Lucas-Kanade on a device: how long both ways of a pair take, and how far off the answer is.

python benchmarks/motion_device.py [--device cpu|cuda] [--sizes 352x288,720x576,1920x1080] [--seconds 2] [--json FILE]

Two windows of one drawn texture, MOVED samples apart; times are medians, `epe` is the mean distance in samples from the truth,
borders left out. docs/motion.md has scenes that are harder.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from backends import median_seconds
from torch import Tensor

from restore.lucas_kanade import estimate

MOVED = (3, -2)
"""To the right and down."""


def texture(height: int, width: int) -> Tensor:
    """(1, 1, height, width) codes: noise of several sizes, the same every time."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.zeros(1, 1, height, width)
    for side in (4, 8, 16, 32):
        coarse = torch.randn(1, 1, height // side + 2, width // side + 2, generator=generator)
        drawn += F.interpolate(coarse, (height, width), mode="bicubic") * side**0.5
    return 120 + 50 * drawn / drawn.abs().max()


def row(size: tuple[int, int], device: torch.device, seconds: float) -> dict[str, Any]:
    """One size, (height, width)."""
    height, width = size
    (right, down), edge = MOVED, 8
    whole = texture(height + 2 * edge, width + 2 * edge)
    first = whole[..., edge : edge + height, edge : edge + width]
    second = whole[..., edge - down : edge - down + height, edge - right : edge - right + width]
    pair = torch.cat([first, second]).to(device)
    other = pair.flip(0)
    found: dict[str, Any] = {"size": f"{width}x{height}", "device": device.type}
    try:
        taken = median_seconds(lambda: estimate(pair, other), device, seconds)
        flow = estimate(pair, other)[0, :, edge:-edge, edge:-edge].cpu()
    except RuntimeError as error:
        return {**found, "error": str(error).splitlines()[0][:200]}
    epe = (flow - torch.tensor(MOVED).view(2, 1, 1)).norm(dim=0).mean()
    return {**found, "both_ways_ms": round(1000 * taken, 2), "epe": round(float(epe), 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sizes", default="352x288,720x576,1920x1080")
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    with torch.inference_mode():
        for text in options.sizes.split(","):
            width, height = map(int, text.split("x"))
            rows.append(row((height, width), torch.device(options.device), options.seconds))
            print(json.dumps(rows[-1]), flush=True)
            if options.json:
                options.json.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
