"""What is scored: networks and pipelines, and the resamplers they must beat."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import imageio_ffmpeg
import numpy as np
import torch
from torch import Tensor

from restore.errors import EvaluateError, PipelineFileError
from restore.evaluate.imresize import imresize
from restore.index import Index, Segment, build_index
from restore.io.encode import OutputOptions
from restore.io.probe import InputOptions
from restore.motion import MotionOptions
from restore.nets.backends import AUTO, BackEnds
from restore.nets.files import model_names, model_path, read_card
from restore.pipeline import PipelineSpec, StageSpec, find_pipeline, read_pipeline
from restore.planes import resample, to_codes, to_nominal
from restore.resources import pipelines_dir
from restore.run.feed import Feed
from restore.scenes import SceneOptions
from restore.video import Chroma, FrameBatch, VideoFormat
from restore.worker import Worker


@dataclass(frozen=True)
class Subject:
    """A chain of stages to be scored."""

    name: str
    spec: PipelineSpec
    scale: int


@dataclass(frozen=True)
class Input:
    """A degraded sequence that can be read more than once."""

    format: VideoFormat
    batches: Callable[[bool], Iterator[FrameBatch]]
    """batches(quantisers): decoded frames as integer codes, with the bitstream's quantisers where asked for."""


def find_subject(name: str) -> Subject:
    """A network by name or path of its .safetensors, 'lanczos', or a pipeline by name or path. EvaluateError where
    there is none, or it does not enlarge both ways by the same whole number."""
    if name in model_names() or name.endswith(".safetensors"):
        card = read_card(model_path(name).with_suffix(".toml"))
        spec = network_chain(name, card.scale)
        return Subject(card.name, spec, card.scale)
    try:
        path = find_pipeline(name)
    except PipelineFileError as error:
        known = ", ".join([*model_names(), *sorted(p.stem for p in pipelines_dir().glob("*.toml"))])
        raise EvaluateError(
            f"{name}: expected a network or a pipeline, found neither; known: {known}; "
            "or give the path of a .safetensors or .toml file"
        ) from error
    spec = read_pipeline(path)
    fmt = VideoFormat(352, 288, Chroma.C420, 8, Fraction(1, 25))
    last = spec.formats(fmt)[-1]
    scale = last.width // fmt.width
    if scale < 1 or (last.width, last.height) != (scale * fmt.width, scale * fmt.height):
        raise EvaluateError(
            f"{path.name}: expected the same size or a whole multiple, found {last.width}x{last.height} "
            f"from {fmt.width}x{fmt.height}"
        )
    return Subject(spec.name, spec, scale)


def network_chain(model: str, scale: int) -> PipelineSpec:
    """A chain of nothing but this network. Of scale 1 it is the stage deblock's, which holds it back where little was
    damaged."""
    stage = (
        StageSpec("deblock", {"model": model}, f"{model} (deblock)")
        if scale == 1
        else StageSpec("upscale", {"model": model, "factor": scale}, f"{model} (upscale)")
    )
    tables = (InputOptions(), SceneOptions(), MotionOptions(), OutputOptions())
    return PipelineSpec(model, (stage,), *tables)


def restored(
    given: Input, spec: PipelineSpec, device: torch.device, threads: int, backend: str = AUTO
) -> Tensor:
    """(T, 1, H, W) luma codes of the input's depth after the chain, as `restore run` would hand them to a lossless
    encoder: facts measured by the index, scenes cut, no dither. Networks run by `backend`."""
    spec = replace(spec, output=spec.output.model_copy(update={"dither": False}))
    index = Index(given.format.time_base)
    batches = given.batches(False)
    segments = list(build_index(index, batches, spec.scenes, spec.needs(), spec.look_ahead()))
    feed = Feed(given.batches(True), index, spec.halo(), spec.curve_reach())
    try:
        last = spec.formats(given.format)[-1]
    except PipelineFileError as error:
        raise EvaluateError(str(error)) from error
    worker = Worker(spec, given.format, last, BackEnds(device, threads, asked=backend))
    return torch.cat([b.planes[0].cpu() for s in segments for b in _inside(worker, feed, s)])


def _inside(worker: Worker, feed: Feed, segment: Segment) -> Iterator[FrameBatch]:
    for batch in worker(feed.frames_of(segment)):
        keep = [segment.first <= f.index < segment.stop for f in batch.frames]
        if any(keep):
            yield batch[keep.index(True) : keep.index(True) + sum(keep)]


def luma_of(given: Input) -> Tensor:
    """(T, 1, h, w) luma codes."""
    return torch.cat([b.planes[0] for b in given.batches(False)])


def bicubic(luma: Tensor, scale: int) -> Tensor:
    """(T, 1, h, w) codes -> (T, 1, H, W) float64 codes, as MATLAB's imresize."""
    frames = [imresize(f.numpy().astype(np.float64), scale) for f in luma[:, 0]]
    return torch.from_numpy(np.stack(frames))[:, None]


def lanczos(luma: Tensor, fmt: VideoFormat, scale: int) -> Tensor:
    """(T, 1, h, w) codes -> (T, 1, H, W) codes, by ours: what the `upscale` stage does without a network."""
    size = (luma.shape[-2] * scale, luma.shape[-1] * scale)
    full = bool(fmt.color.full_range)
    parts = [
        to_codes(resample(to_nominal(f, fmt.depth, full, False), size), fmt.depth, full, False)
        for f in torch.split(luma, 8)
    ]
    return torch.cat(parts)


def ffmpeg_lanczos(luma: Tensor, scale: int) -> Tensor:
    """(T, 1, h, w) 8-bit limited-range codes, even sizes -> (T, 1, H, W), by FFmpeg's swscale."""
    height, width = luma.shape[-2:]
    size = (scale * height, scale * width)
    raw = b"".join(f.numpy().tobytes() + b"\x80" * (height * width // 2) for f in luma[:, 0])
    filters = f"scale={size[1]}:{size[0]}:flags=lanczos+accurate_rnd+full_chroma_int"
    command = [
        *(imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p"),
        *("-s", f"{width}x{height}", "-i", "-", "-vf", filters, "-f", "rawvideo", "-"),
    ]
    data = subprocess.run(command, input=raw, capture_output=True, check=True).stdout
    frames = np.frombuffer(data, np.uint8).reshape(len(luma), -1)[:, : size[0] * size[1]]
    return torch.from_numpy(frames.reshape(len(luma), 1, *size).copy())
