"""The report of a training run: one page of HTML that needs nothing else, written again at every validation.

Curves are drawn here as SVG, pictures are PNG inside the page; there is no script, and nothing is fetched.
"""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from restore import planes
from restore.train.colour import luma_of
from restore.train.files import write_whole
from restore.train.front import behind
from restore.train.networks import enlarged, predict
from restore.train.recipe import Network, Recipe
from restore.train.shards import Shards
from restore.train.state import Look
from restore.train.validation import examined, frames_of, psnr

TRIPLETS = 6
"""Samples shown, from as many categories as there are."""

COLOURS = ("#1b6ac9", "#c4411b", "#2c8a3d", "#8a4bb8", "#b8860b", "#3a9aa8", "#555555")
WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM = 700, 240, 56, 160, 28
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 1180px; padding: 0 1em; color: #222 }
svg { background: #fafafa; border: 1px solid #ddd; margin: 0 8px 8px 0 } svg text { font: 11px system-ui, sans-serif }
figure { display: inline-block; margin: 0 8px 12px 0 } figcaption { font-size: 12px; color: #555 }
table { border-collapse: collapse } td, th { padding: 2px 12px 2px 0; text-align: left } pre { background: #f4f4f4; padding: 8px }
"""

Point = tuple[float, float]
Grey = NDArray[np.uint8]


def write_report(
    path: Path, recipe: Recipe, looks: Sequence[Look], net: nn.Module, held: Shards
) -> None:
    """Curves of all `looks`, samples of `held` through `net` (its shipped form), histograms of its weights. The page at
    `path` is replaced in one step. TrainError if it cannot be written."""
    title = html.escape(f"Training of {recipe.network.name}")
    last = looks[-1]
    parts = [
        f"<h1>{title}</h1>",
        f"<p>{last.iteration} iterations in {last.seconds / 60:.1f} minutes of steps; {len(looks)} validations.</p>",
        _table(looks, recipe.network.base),
        _curves(looks, recipe.network.base),
        f"<h2>Held-out samples</h2><p>{_input_words(recipe.network)}, output, target; Y-PSNR against the target.</p>",
        *triplets(net, held, recipe.network),
        "<h2>Weights</h2>",
        *(histogram(name, p.detach().float()) for name, p in net.named_parameters() if p.ndim > 1),
        f"<h2>Recipe</h2><pre>{html.escape(recipe.model_dump_json(indent=1))}</pre>",
    ]
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style></head>\n<body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )
    write_whole(path, page.encode())


def _input_words(shape: Network) -> str:
    return "Input" if shape.scale == 1 else "Input resampled by Lanczos"


def _table(looks: Sequence[Look], base: str) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{value:+.3f}</td></tr>"
        for name, value in looks[-1].scores.gains.items()
    )
    return f"<table><tr><th>last validation</th><th>gain over {base}, dB</th></tr>{rows}</table>"


def _curves(looks: Sequence[Look], base: str) -> str:
    its = [float(look.iteration) for look in looks]
    loss = list(zip(its, [look.loss for look in looks], strict=True))
    reached = {
        "network": list(zip(its, [look.scores.psnr for look in looks], strict=True)),
        base: list(zip(its, [look.scores.lanczos for look in looks], strict=True)),
    }
    gains = {
        name: [(float(k.iteration), k.scores.gains.get(name, math.nan)) for k in looks]
        for name in looks[-1].scores.gains
    }
    return (
        "<h2>Curves over iterations</h2>"
        + chart("loss (mean between validations)", {"training": loss})
        + chart("Y-PSNR of held-out samples, dB", reached)
        + chart(f"gain over {base}, dB", gains)
    )


def chart(title: str, lines: dict[str, list[Point]]) -> str:
    """Lines over a common scale, as SVG. Points that are not finite are left out."""
    lines = {n: [p for p in pts if all(map(math.isfinite, p))] for n, pts in lines.items()}
    xs = [x for points in lines.values() for x, _ in points] or [0.0]
    ys = [y for points in lines.values() for _, y in points] or [0.0]
    left, right = min(xs), max(max(xs), min(xs) + 1)
    margin = 0.05 * (max(ys) - min(ys)) or max(1e-6, 0.05 * abs(ys[0]))
    low, high = min(ys) - margin, max(ys) + margin

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (x - left) / (right - left) * (WIDTH - LEFT - RIGHT)
        return across, 22 + (high - y) / (high - low) * (HEIGHT - 22 - BOTTOM)

    parts = [f'<text x="{LEFT}" y="14" font-weight="bold">{html.escape(title)}</text>']
    for k in range(5):
        value = low + (high - low) * k / 4
        y = place(left, value)[1]
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 4}" y="{y + 4:.1f}" text-anchor="end">{value:.4g}</text>')
    for value, anchor in ((left, "start"), (right, "end")):
        x = place(value, low)[0]
        parts.append(
            f'<text x="{x:.1f}" y="{HEIGHT - 8}" text-anchor="{anchor}">{value:.0f}</text>'
        )
    for number, (name, points) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        places = [place(x, y) for x, y in points]
        way = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" fill="{colour}"/>' for x, y in places]
        parts.append(
            f'<text x="{WIDTH - RIGHT + 8}" y="{36 + 13 * number}" fill="{colour}">{html.escape(name)}</text>'
        )
    return f'<svg width="{WIDTH}" height="{HEIGHT}">{"".join(parts)}</svg>'


@torch.no_grad()
def triplets(net: nn.Module, held: Shards, shape: Network) -> list[str]:
    """Input, output and target of a few samples, one category after the other, as figures."""
    device = next(net.parameters()).device
    figures = []
    for shard, index in chosen(held):
        sequence = held.samples[shard][index]["sequence"]
        low, truths = examined(held, shard, index, shape)
        given = behind(low.to(device), shape.condition)
        base, residual = predict(net, shape, given, torch.float32)
        up, out = frames_of(enlarged(low, shape))[-1:], frames_of(base + residual)[-1:].cpu()
        truth = truths[-1:]
        caption = (
            f"{sequence['category']}, {sequence['source']}: {shape.base} {psnr(up, truth):.2f} dB, "
            f"network {psnr(out, truth):.2f} dB"
        )
        strip = np.hstack([_grey(up), _grey(out), _full_range(luma_of(truth)[0, 0].numpy())])
        figures.append(
            f'<figure><img src="{_data_uri(strip)}" alt=""><figcaption>{html.escape(caption)}</figcaption></figure>'
        )
    return figures


def chosen(held: Shards) -> list[tuple[int, int]]:
    """(shard, index) of the samples shown: the first of each category, then the second, and so on."""
    ranked: list[tuple[int, int, int]] = []
    seen: dict[str, int] = {}
    for shard, samples in enumerate(held.samples):
        for index, sample in enumerate(samples):
            category = sample["sequence"]["category"]
            ranked.append((seen.get(category, 0), shard, index))
            seen[category] = seen.get(category, 0) + 1
    return [(shard, index) for _, shard, index in sorted(ranked)[:TRIPLETS]]


def histogram(name: str, weights: Tensor) -> str:
    """How often weights of each size occur, as SVG, with their spread in words."""
    values = weights.cpu().numpy().ravel()
    counts, edges = np.histogram(values, bins=41)
    width, height = 200, 90
    bar = width / len(counts)
    bars = "".join(
        f'<rect x="{k * bar:.1f}" y="{height - 14 - n:.1f}" width="{bar:.1f}" height="{n:.1f}" fill="{COLOURS[0]}"/>'
        for k, n in enumerate(counts / counts.max() * (height - 32))
    )
    title = f"{name}: {len(values)}, sigma {values.std():.3g}"
    return (
        f'<svg width="{width}" height="{height}"><text x="4" y="12">{html.escape(title)}</text>{bars}'
        f'<text x="2" y="{height - 2}">{edges[0]:.2g}</text>'
        f'<text x="{width - 2}" y="{height - 2}" text-anchor="end">{edges[-1]:.2g}</text></svg>'
    )


def _grey(nominal: Tensor) -> Grey:
    return _full_range(
        planes.to_codes(luma_of(nominal), 8, full_range=False, chroma=False)[0, 0].numpy()
    )


def _full_range(codes: Grey) -> Grey:
    """Limited-range luma as a screen shows it."""
    shown: Grey = np.clip(np.rint((codes.astype(np.float32) - 16) * (255 / 219)), 0, 255).astype(
        np.uint8
    )
    return shown


def _data_uri(grey: Grey) -> str:
    _, png = cv2.imencode(".png", grey)
    return "data:image/png;base64," + base64.b64encode(png.tobytes()).decode()
