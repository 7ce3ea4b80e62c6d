"""From a file of fields to frames: what is suggested for it is run, and what comes out is the film that went in."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from restore.inspect.inspection import inspect_source
from restore.inspect.suggest import suggest, to_toml
from restore.io.decode import decode
from restore.io.join import open_source
from restore.io.probe import InputOptions
from restore.io.scan import combing
from restore.pipeline import read_pipeline
from restore.run.job import Job, Listener, prepare
from restore.run.local import run
from tests.inspect.synthetic import codes, write_film

Codes = NDArray[np.uint8]
PULLDOWN = ((0, 0), (0, 1), (1, 2), (2, 2), (3, 3))
"""3:2, top field first: which of four frames of film the fields of five are of."""


def panned(frames: int) -> Codes:
    """A camera that pans over soft texture, 3 samples a frame, and a disc that moves the other way."""
    noise = np.random.default_rng(1).normal(0, 1, (128, 160 + 3 * frames)).astype(np.float32)
    wide = cv2.GaussianBlur(noise, (0, 0), 2.5)
    wide = 115 + 42 * wide / wide.std()
    made = np.stack([wide[:, 3 * n : 3 * n + 160] for n in range(frames)])
    for n, frame in enumerate(made):
        cv2.circle(frame, (160 - 4 * n % 160, 64), 22, (220.0,), -1)
    return codes(np.clip(made, 18, 233))


def woven(film: Codes, fields: tuple[tuple[int, int], ...], step: int) -> Codes:
    """Frames of the top and bottom `fields` of each `step` frames of film."""
    first = range(0, len(film) // step * step, step)
    made = film[[n + top for n in first for top, _ in fields]].copy()
    made[:, 1::2] = film[[n + bottom for n in first for _, bottom in fields]][:, 1::2]
    return made


def through(clip: Path, pipeline: Path, *overrides: str) -> Codes:
    """Luma of what `restore run` makes; by Lanczos, as the fields are put together before the network."""
    quick = ["output.codec=ffv1", "upscale.model=lanczos"]
    spec = read_pipeline(pipeline, [*quick, *overrides])
    output = pipeline.with_suffix(".mkv")
    run(prepare(Job(spec, (clip,), output, threads=1, overwrite=True)), Listener())
    made = open_source([output], InputOptions(deinterlace="off", telecine="off"))
    return np.concatenate([b.planes[0][:, 0].numpy() for b in decode(made)])


def at_half(luma: Codes, height: int) -> Codes:
    """What was enlarged twice as large is made as high as the film again, by means of 2x2."""
    if luma.shape[1] == height:
        return luma
    t, h, w = luma.shape
    return codes(luma.reshape(t, h // 2, 2, w // 2, 2).mean((2, 4)).astype(np.float32))


def psnr(found: Codes, truth: Codes) -> float:
    inner = (slice(None), slice(8, -8), slice(8, -8))
    error = found[inner].astype(np.float64) - truth[inner]
    return float(10 * np.log10(255**2 / np.mean(error**2)))


def combed(luma: Codes) -> int:
    """Samples that stand out of the lines above and below, as those of another moment do."""
    everywhere = np.ones((luma.shape[1] // 2, luma.shape[2]), np.bool_)
    frames = luma.astype(np.int16)
    return sum(combing(f[::2], f[1::2], everywhere)[0] for f in frames)


@pytest.mark.parametrize("kind", ["interlaced", "telecined"])
def test_fields_become_the_frames_they_were(kind: str, tmp_path: Path) -> None:
    film = panned(60)
    if kind == "interlaced":
        given, truth = woven(film, ((0, 1),), 2), film[::2]
        off = "input.deinterlace=off"
    else:
        given, truth = woven(film, PULLDOWN, 4), film
        off = "input.telecine=off"
    clip = write_film(tmp_path / "fields.mkv", given, vcodec="ffv1")
    made = suggest(inspect_source([clip]))
    assert made.input[0].value in ("bwdif", "on")
    pipeline = tmp_path / "made.toml"
    pipeline.write_text(to_toml(made, clip.name))
    found = at_half(through(clip, pipeline), 128)
    blind = at_half(through(clip, pipeline, off, "input.field_order=auto"), 128)
    assert len(found) == len(truth)
    assert combed(given) > 20 * len(given)
    assert combed(found) <= combed(truth) + len(truth)
    shown = truth if kind == "interlaced" else film[[n * 4 // 5 for n in range(len(given))]]
    assert psnr(found, truth) > psnr(blind, shown) + 3
