"""What the stages before a network make of packed pairs: the sidecar of a shard whose recipe names a front.

<shard>.front.safetensors, made by the very stages that `restore run` puts before the network (N samples, crop h x w):
  change  (N, h, w) float16      nominal luma as decoded less that which those stages leave, middle frame
  beside  (N, 2 * k, h, w) float16  where wanted: the planes of nets.neighbours for the middle frame as decoded
So a network that is to work behind them learns on what they leave, and sees what they took (nets.condition: `change`).
They see the `context` frames of a sample and no more of its picture than was kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from restore import planes
from restore.color import ColorInfo
from restore.errors import PipelineFileError, TrainError
from restore.motion import MotionService
from restore.nets.architectures import NEIGHBOUR_PLACES, ConditionName, condition_places
from restore.nets.neighbours import REACH, UNIT, Neighbours, nearer
from restore.pipeline import PipelineSpec, find_pipeline, read_pipeline
from restore.stage import Stage
from restore.train.files import write_whole
from restore.train.maps import CELL, TYPES, Maps, read_maps
from restore.video import FrameBatch, FrameInfo, QuantMap, VideoFormat

UPSCALE = "upscale"
"""The kind of stage that a front ends before."""


def read_front(name: str, context: int, condition: Sequence[ConditionName] = ()) -> PipelineSpec:
    """The pipeline `name`, a file or a shipped one's name, cut off before its network. TrainError where there is none,
    nothing before it, a network before it, or stages, or a `condition`, that look at more than `context` frames."""
    try:
        spec = read_pipeline(find_pipeline(name))
    except PipelineFileError as error:
        raise TrainError(f"[network]: front: {error}") from None
    kinds = [stage.kind for stage in spec.stages]
    count = kinds.index(UPSCALE) if UPSCALE in kinds else len(kinds)
    if not count:
        raise TrainError(
            f"[network]: front: expected a pipeline with stages before {UPSCALE}, got {name}: {', '.join(kinds)}"
        )
    spec = replace(spec, stages=spec.stages[:count])
    for stage in spec.stages:
        if stage.build().assets():
            raise TrainError(
                f"[network]: front: expected stages without weights of their own, got {stage.where}, which runs a network"
            )
    looked = 2 * REACH + 1
    if "neighbours" in condition and context < looked:
        raise TrainError(
            f"[network]: condition: neighbours are looked for in {looked} frames, got {context} a sample; set "
            f"context = {looked} in [data]"
        )
    if context < _frames(spec):
        raise TrainError(
            f"[network]: front: the stages of {name} look at {_frames(spec)} frames, got {context} a sample; set "
            f"context = {_frames(spec)} in [data]"
        )
    return spec


def sidecar(shard: Path) -> Path:
    """Where the changes of the shard with this index (.json) are."""
    return shard.with_suffix(".front.safetensors")


def add_fronts(
    folder: Path,
    front: PipelineSpec,
    condition: Sequence[ConditionName] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> None:
    """Makes the sidecars that shards in `folder` lack, or have of another front, with what `condition` wants. Their maps
    must be there. TrainError where samples have too few frames for the stages."""
    wanted, beside = _fingerprint(front), "neighbours" in condition
    for index in sorted(folder.glob("*-*.json")):
        path = sidecar(index)
        by, keys = _made_by(path)
        if by != wanted or (beside and "beside" not in keys):
            write_whole(path, save(_found(index, front, beside), {"front": wanted}))
            kinds = ", ".join(stage.kind for stage in front.stages)
            progress(f"{index.stem}: passed through {kinds}")


def read_fronts(index: Path, samples: int) -> dict[str, Tensor]:
    """The tensors of a shard with so many samples, by name; TrainError if its sidecar is missing or damaged."""
    path = sidecar(index)
    try:
        found = load_file(path)
        change = found["change"]
    except Exception as error:  # safetensors raises its own, KeyError, OSError ...
        raise TrainError(f"{path}: damaged ({error}); delete it, it will be made again") from None
    if len(change) != samples:
        raise TrainError(
            f"{path}: expected {samples} samples, as the shard has, got {len(change)}; delete it, it will be made again"
        )
    return found


def behind(low: Tensor, condition: Sequence[ConditionName]) -> Tensor:
    """(..., 1 + k, h, w), luma as decoded and the planes of `condition` -> the same with the luma that the front left,
    wherever its change is given."""
    places = condition_places(condition)
    if "change" not in places:
        return low
    told = low[..., 1:, :, :].clone()
    change = told[..., places["change"], :, :]
    if "neighbours" in places:
        beside = told[..., places["neighbours"], :, :]
        told[..., places["neighbours"], :, :] = nearer(beside, change)
    return torch.cat([low[..., :1, :, :] - UNIT * change, told], -3)


def _found(index: Path, front: PipelineSpec, beside: bool) -> dict[str, Tensor]:
    """The tensors of one sidecar."""
    try:
        codes = load_file(index.with_suffix(".safetensors"))["lr"]
    except Exception as error:  # as above
        raise TrainError(f"{index}: damaged shard ({error}); delete it and make it again") from None
    maps = read_maps(index, len(codes))
    stages = [stage.build() for stage in front.stages]
    wanted = _frames(front)
    if codes.ndim != 4 or codes.shape[1] < wanted:
        raise TrainError(
            f"{index}: front: expected luma and at least {wanted} frames a sample, which its stages look at, got "
            f"{tuple(codes.shape[1:])}; set context = {wanted} in [data]"
        )
    found = {"change": torch.zeros(len(codes), *codes.shape[-2:], dtype=torch.float16)}
    if beside:
        count = 2 * len(NEIGHBOUR_PLACES)
        found["beside"] = torch.zeros(len(codes), count, *codes.shape[-2:], dtype=torch.float16)
    for number, frames in enumerate(codes):
        motion = MotionService(front.motion, torch.device("cpu"))
        try:
            clip = _clip(frames, maps, number)
            motion.add(clip.frames, clip.planes[0])
            clip = replace(clip, motion=motion)
            found["change"][number] = _passed(clip, stages)
            if beside:
                found["beside"][number] = Neighbours()(clip, len(clip) // 2)
        finally:
            motion.close()
    return found


def _frames(front: PipelineSpec) -> int:
    """That its stages look at to make one."""
    return 1 + sum(sum(stage.build().window) for stage in front.stages)


def _clip(frames: Tensor, maps: Maps, number: int) -> FrameBatch:
    """(C, h, w) codes of sample `number` as a scene. A frame that shows the one before it again is that frame, as edges
    of scenes are filled."""
    first = len(frames) // 2
    places = [first] * len(frames)
    for step in (1, -1):
        for k in range(first + step, len(frames) if step > 0 else -1, step):
            again = bool((frames[k] == frames[k - step]).all())
            places[k] = places[k - step] + (0 if again else step)
    types = maps.types[number].tolist()
    infos = [FrameInfo(p, p, 1, picture_type=TYPES[t]) for p, t in zip(places, types, strict=True)]
    quant = [
        QuantMap(steps.float(), CELL) if bool(steps.any()) else None for steps in maps.steps[number]
    ]
    height, width = frames.shape[-2:]
    fmt = VideoFormat(width, height, None, 8, Fraction(1, 25), ColorInfo(full_range=False))
    luma = planes.to_nominal(frames[:, None], 8, full_range=False, chroma=False)
    return FrameBatch((luma,), tuple(infos), fmt, quant=tuple(quant))


def _passed(clip: FrameBatch, stages: list[Stage]) -> Tensor:
    """(h, w): nominal luma of the clip's middle frame less what `stages` make of it."""
    raw = clip.planes[0][len(clip) // 2, 0]
    for stage in stages:
        stage.reset()
        past, future = stage.window
        made = stage.process(clip)
        clip = clip[past : len(clip) - future].with_planes(made, clip.format)
    return raw - clip.planes[0][len(clip) // 2, 0]


def _fingerprint(front: PipelineSpec) -> str:
    document = front.document()
    return json.dumps([document["stages"], document["motion"]], sort_keys=True)


def _made_by(path: Path) -> tuple[str | None, list[str]]:
    """The fingerprint of the front whose work `path` holds, and the names of its tensors; None where there are none."""
    try:
        with safe_open(path, "pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
            return metadata.get("front"), list(file.keys())
    except Exception:  # missing or damaged: made again
        return None, []
