"""Score networks and pipelines against the truth, item by item, beside the resamplers they must beat."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restore.color import ColorInfo, Matrix, Primaries, Transfer
from restore.errors import EvaluateError
from restore.evaluate.imresize import imresize, to_uint8
from restore.evaluate.measures import Aids, Sight, as_grey, measure, pick_measures
from restore.evaluate.recipes import RECIPES, pick_recipes, through_codecs
from restore.evaluate.sets import TestSet, Truth, find_set, read_clip, read_image
from restore.evaluate.subjects import (
    Input,
    Subject,
    bicubic,
    ffmpeg_lanczos,
    find_subject,
    lanczos,
    luma_of,
    restored,
)
from restore.io.decode import decode
from restore.io.probe import InputOptions, probe
from restore.metrics.fidelity import BORDER, psnr
from restore.metrics.niqe import CleanModel, fit
from restore.nets.backends import AUTO
from restore.nets.squeezenet import load_squeezenet
from restore.train.codecs import through_jpeg
from restore.video import FrameBatch, FrameInfo, VideoFormat
from restore.worker import find_device


@dataclass(frozen=True)
class Job:
    """What is asked for."""

    subjects: Sequence[str]
    """Networks and pipelines by name or path, of one scale."""
    sets: Sequence[Path]
    recipes: Sequence[str] = ()
    """Empty: the usual ones of each kind of set."""
    measures: Sequence[str] = ()
    """Empty: all that apply."""
    frames: int = 21
    """Of each clip."""
    skip: int = 0
    """Of these so many at its beginning are restored but not scored."""
    pristine: Path | None = None
    """A folder of clean images, for NIQE."""
    backbone: Path | None = None
    """SqueezeNet 1.1 weights, for the squeeze distance."""
    device: str = "auto"
    threads: int = 1
    backend: str = AUTO
    """Of networks, by name; 'auto': the first that is here, which rounds little."""


@dataclass(frozen=True)
class Score:
    """One method on one item that went through one recipe."""

    set: str
    item: str
    recipe: str
    method: str
    """A subject, or one of the resamplers: 'bicubic', 'lanczos'; 'input' at scale 1."""
    frames: int
    bits_per_pixel: float | None
    """Of the encode that was restored; None: no codec."""
    measures: dict[str, float]


@dataclass(frozen=True)
class Result:
    """All scores, and what was noticed on the way."""

    subjects: tuple[Subject, ...]
    scale: int
    measures: tuple[str, ...]
    baselines: tuple[str, ...]
    scores: tuple[Score, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """One item after one recipe."""

    given: Input
    bits_per_pixel: float | None = None


def evaluate(job: Job, progress: Callable[[str], None] = lambda _: None) -> Result:
    """Raises EvaluateError (or another RestoreError) before the first item is restored wherever that can be known.
    `progress` is told what is being worked on."""
    subjects = _subjects(job.subjects)
    scale = subjects[0].scale
    aids = Aids(
        clean_model(job.pristine, progress) if job.pristine else None,
        load_squeezenet(job.backbone) if job.backbone else None,
    )
    names = pick_measures(job.measures, aids)
    sets = [find_set(folder) for folder in job.sets]
    chosen = [pick_recipes(job.recipes, s.still, scale) for s in sets]
    device = find_device(job.device)
    scores: list[Score] = []
    notes = [] if job.backend == AUTO else [f"networks ran by {job.backend}"]
    for test_set, recipes in zip(sets, chosen, strict=True):
        for file in test_set.files:
            truth = _truth(test_set, file, job.frames, job.skip, scale, notes)
            clean = torch.from_numpy(truth.codes)[:, None]
            border = (scale if scale > 1 else 0) if test_set.still else BORDER
            for recipe in recipes:
                progress(f"{test_set.name} {file.stem}: {RECIPES[recipe].title}")
                with tempfile.TemporaryDirectory() as folder:
                    case = _degrade(truth, test_set.still, recipe, scale, Path(folder))
                    for method, found in _methods(case.given, clean, subjects, device, job):
                        where = f"{test_set.name} {file.name}, {recipe}, {method}"
                        _check(found, clean, where, notes)
                        seen = slice(0 if test_set.still else job.skip, None)
                        sight = Sight(found[seen], clean[seen], border, scale, truth.full_range)
                        try:
                            values = measure(sight, names, aids, test_set.still)
                        except ValueError as error:
                            raise EvaluateError(f"{where}: {error}") from None
                        scores.append(
                            Score(
                                test_set.name, file.stem, recipe, method,
                                len(clean[seen]), case.bits_per_pixel, values,
                            )
                        )  # fmt: skip
    return Result(
        subjects, scale, tuple(names), _baselines(scale), tuple(scores), tuple(dict.fromkeys(notes))
    )


def clean_model(folder: Path, progress: Callable[[str], None]) -> CleanModel:
    """NIQE's model of clean pictures, fitted to the images in `folder`."""
    found = find_set(folder, "--pristine")
    if not found.still:
        raise EvaluateError(f"--pristine {folder}: expected images, found clips")

    def images() -> Iterator[NDArray[np.float64]]:
        for file in found.files:
            progress(f"clean statistics: {file.name}")
            truth = read_image(file, 1)
            codes = truth.codes[0].astype(np.float64)
            yield codes if truth.full_range else as_grey(codes)

    try:
        return fit(images())
    except ValueError as error:
        raise EvaluateError(f"--pristine {folder}: {error}") from None


def _subjects(names: Sequence[str]) -> tuple[Subject, ...]:
    found = tuple(find_subject(name) for name in names)
    scales = {s.scale for s in found}
    if len(scales) != 1:
        each = ", ".join(f"{s.name} x{s.scale}" for s in found)
        raise EvaluateError(f"expected subjects of one scale, found {each}; score them one by one")
    taken = [s.name for s in found]
    twice = {n for n in taken if taken.count(n) > 1 or n in ("bicubic", "input")}
    if twice:
        raise EvaluateError(
            f"{', '.join(sorted(twice))}: two rows of the table would have this name; copy the file to another name"
        )
    return found


def _baselines(scale: int) -> tuple[str, ...]:
    return ("input",) if scale == 1 else ("bicubic", "lanczos")


def _truth(
    test_set: TestSet, file: Path, frames: int, skip: int, scale: int, notes: list[str]
) -> Truth:
    truth = read_image(file, scale) if test_set.still else read_clip(file, frames, 16 * scale)
    height, width = truth.codes.shape[1:]
    if truth.cropped:
        notes.append(
            f"{test_set.name} {file.name}: cropped from {truth.cropped[1]}x{truth.cropped[0]} to {width}x{height}"
        )
    if not test_set.still and len(truth.codes) <= skip:
        raise EvaluateError(
            f"--skip {skip}: expected less than the {len(truth.codes)} frames taken of {file.name}; lower it, or raise "
            "--frames"
        )
    if not test_set.still and len(truth.codes) < frames:
        notes.append(f"{test_set.name} {file.name}: {len(truth.codes)} frames, not {frames}")
    return truth


def _degrade(truth: Truth, still: bool, name: str, scale: int, folder: Path) -> Case:
    recipe = RECIPES[name]
    if recipe.first is not None:
        path, done = through_codecs(truth.codes, recipe, scale, folder)
        return Case(from_file(path), done.bits_per_pixel)
    small = truth.codes.astype(np.float64)
    if scale > 1:
        small = np.stack([imresize(frame, Fraction(1, scale)) for frame in small])
    if recipe.jpeg is not None:
        codes, files = through_jpeg(to_uint8(small), recipe.jpeg)
        bits = 8 * sum(map(len, files)) / codes.size
        return Case(_in_memory(codes.astype(np.float64), 8, truth.full_range), bits)
    # The literature gives images to the network unrounded; video comes in 8 bits.
    return Case(_in_memory(small, 16 if still else 8, truth.full_range))


def from_file(path: Path) -> Input:
    """A clip, decoded as `restore run` does, anew for every reading."""
    source = probe(path, InputOptions())
    return Input(source.video.format, lambda q: decode(source, batch=4, quantisers=q))


def _in_memory(frames: NDArray[np.float64], depth: int, full_range: bool) -> Input:
    """(T, h, w) in 8-bit codes -> the same as codes of `depth` bits."""
    step = 65535 / 255 if full_range and depth == 16 else float(1 << (depth - 8))
    codes = np.clip(np.floor(frames * step + 0.5), 0, (1 << depth) - 1)
    planes = torch.from_numpy(codes.astype(np.uint8 if depth == 8 else np.uint16))[:, None]
    color = ColorInfo(Matrix.SMPTE170M, Primaries.SMPTE170M, Transfer.SMPTE170M, full_range)
    fmt = VideoFormat(planes.shape[-1], planes.shape[-2], None, depth, Fraction(1, 25), color)
    infos = tuple(FrameInfo(i, i, 1) for i in range(len(planes)))
    return Input(
        fmt,
        lambda _: (FrameBatch((planes,), infos, fmt)[i : i + 4] for i in range(0, len(infos), 4)),
    )


def _methods(
    given: Input, clean: Tensor, subjects: Sequence[Subject], device: torch.device, job: Job
) -> Iterator[tuple[str, Tensor]]:
    """(method, (T, 1, H, W) 8-bit codes), the resamplers first."""
    scale, fmt, low = subjects[0].scale, given.format, luma_of(given)
    if scale == 1:
        yield "input", _eight_bits(low, fmt)
    else:
        yield "bicubic", _eight_bits(bicubic(low, scale), fmt)
        yield "lanczos", best_lanczos(low, fmt, scale, clean)
    for subject in subjects:
        if subject.name != "lanczos":
            done = restored(given, subject.spec, device, job.threads, job.backend)
            yield subject.name, _eight_bits(done, fmt)


def best_lanczos(low: Tensor, fmt: VideoFormat, scale: int, clean: Tensor) -> Tensor:
    """(T, 1, h, w) codes -> 8-bit codes by Lanczos, for video the better of ours and FFmpeg's, so that no gain is
    one over a poor resampler."""
    found = [_eight_bits(lanczos(low, fmt, scale), fmt)]
    if fmt.depth == 8 and not fmt.color.full_range and not any(n % 2 for n in low.shape[-2:]):
        found.append(ffmpeg_lanczos(low, scale))
    return max(found, key=lambda f: psnr(f, clean) if f.shape == clean.shape else 0.0)


def _eight_bits(codes: Tensor, fmt: VideoFormat) -> Tensor:
    """Codes of the format's depth, whole or not -> 8-bit codes of the same range, rounded and clipped."""
    step = 65535 / 255 if fmt.color.full_range and fmt.depth == 16 else float(1 << (fmt.depth - 8))
    return torch.floor(codes.double() / step + 0.5).clamp(0, 255).to(torch.uint8)


def _check(found: Tensor, clean: Tensor, where: str, notes: list[str]) -> None:
    if found.shape != clean.shape:
        (t, _, h, w), (frames, _, height, width) = found.shape, clean.shape
        raise EvaluateError(
            f"{where}: expected {frames} frames of {width}x{height}, found {t} of {w}x{h}; the chain loses or moves the picture"
        )
    if not registered(found[:3], clean[:3]):
        notes.append(f"{where}: the picture is moved by a sample or more against the truth")


def registered(found: Tensor, clean: Tensor) -> bool:
    """Whether no shift by a sample brings (T, 1, H, W) nearer to the truth."""
    errors = {
        (dy, dx): psnr(found.roll((dy, dx), (2, 3)), clean, 4)
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
    }
    return errors[0, 0] >= max(errors.values())
