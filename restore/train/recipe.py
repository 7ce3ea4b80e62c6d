"""A training recipe: what pairs are made of, how they are damaged, which network learns from them, and how.

One TOML file, five tables; every fault is reported at once. `recipes/film_x2_fast.toml` is the worked example.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from restore.errors import TrainError
from restore.nets.architectures import ArchitectureName, ConditionName, PlaneName
from restore.options import Options, check, hint, read_toml
from restore.resources import recipes_dir
from restore.train.fields import Range, Share, at_most_half, positive, quality
from restore.train.terms import Loss

Kernel = Literal[
    "bicubic",
    "catmull_rom",
    "mitchell",
    "lanczos2",
    "lanczos3",
    "bilinear",
    "area",
    "narrow",
    "bell",
    "hermite",
    "nearest",
    "opencv_bilinear",
    "opencv_bicubic",
]
Second = Literal["rv20", "rv10", "mpeg4", "x264"]


class Folder(Options):
    """One folder of clips below the data directory."""

    path: str
    """Relative to the data directory."""
    scale: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Down-scaling that turns these files into clean ground truth (0.5 for ordinary web encodes)."""


class Data(Options):
    """[data]: where sequences come from and how many."""

    clips: list[Folder] = []
    """Folders of real video."""
    images: list[str] = []
    """Folders of stills, animated with pans, zooms, turns and a moving layer."""
    hold_out: list[str] = []
    """Patterns (relative paths, * allowed) of sources used for validation only."""
    still_share: Share = 0.45
    """Share of sequences made from stills."""
    layer_share: Share = 0.3
    """Share of still sequences with a second still moving in front."""
    steady_share: Share = 0.25
    """Share of still sequences that stand still or pan by whole pixels, so that no interpolation softens the truth."""
    drawn_share: Share = 0.0
    """Share of still sequences whose still is drawn, not photographed: shapes, lines, titles (restore/train/drawn.py)."""
    crisp_share: Share = 0.0
    """Share of all sequences whose truth is made sharper, as film that was scanned finely and shrunk hard is: sources that
    were encoded or shrunk softly teach a network to leave films too soft."""
    crisp_amount: Range = (0.1, 0.8)
    """Unsharp mask, 0.8 pixels wide, on the truth before anything else."""
    frames: Annotated[int, Field(ge=5, le=200)] = 24
    """Frames per encoded sequence."""
    size: Annotated[int, Field(ge=64, le=1024)] = 352
    """Longest side of an encoded (low-resolution) frame, pixels; a multiple of 16."""
    crop: Annotated[int, Field(ge=32, le=512)] = 128
    """Side of the square kept from a frame, low-resolution pixels; a multiple of 16."""
    keep: Annotated[int, Field(ge=1, le=32)] = 4
    """Samples kept per sequence; each is `context` low-resolution frames and the truth of the middle one."""
    context: Literal[1, 3, 5, 7, 9, 11, 13, 15] = 5
    """Consecutive low-resolution frames per sample."""
    truth: Literal["middle", "all"] = "middle"
    """Frames of a sample whose truth is kept. all: with the motion between them, for recurrent networks."""
    shard_sequences: Annotated[int, Field(ge=1, le=1024)] = 48
    """Sequences per training shard file."""
    shards: Annotated[int, Field(ge=1, le=4096)] = 40
    """Training shards to make."""
    val_sequences: Annotated[int, Field(ge=5, le=1024)] = 100
    """Sequences of the one validation shard, spread evenly over the categories."""
    seed: int = 1

    @model_validator(mode="after")
    def _consistent(self) -> Data:
        if not self.clips and not self.images:
            raise ValueError("at least one folder in clips or images")
        if self.size % 16 or self.crop % 16 or self.crop > self.size:
            raise ValueError("multiples of 16 in size and crop, with crop <= size")
        if self.truth == "all" and not 3 <= self.context <= self.frames:
            raise ValueError("a context from 3 to the number of frames where truth is all")
        return self


class Degrade(Options):
    """[degrade]: the chain from clean truth to decoded low resolution (SCIENCE C3). Rates are kb/s at
    352x288, 25 frames/s, and scale with pixels."""

    blur_share: Share = 0.3
    """Share of sequences with a light Gaussian blur (optics, print) before the down-scaling."""
    blur_sigma: Range = (0.2, 0.8)
    """High-resolution pixels."""
    kernels: dict[Kernel, float] = {
        "bicubic": 0.6, "lanczos3": 0.15, "area": 0.1, "bilinear": 0.15,
    }  # fmt: skip
    """Down-scaling kernels and their weights. All but nearest are centred and anti-aliased, those named after OpenCV
    not anti-aliased."""
    phase_share: Share = 0.0
    """Share of sequences whose samples lie off centre. Nothing tells the network where: it can only blur in answer."""
    phase_offset: Annotated[Range, AfterValidator(at_most_half)] = (-0.25, 0.25)
    """High-resolution pixels, down and to the right, each on its own."""
    film_share: Share = 0.0
    """Share of sequences that were a worn print: dust, hairs, scratches, flicker, weave (restore/train/film.py)."""
    film_strength: Annotated[Range, AfterValidator(positive)] = (0.3, 1.0)
    """1: badly worn."""
    film_repaired: bool = False
    """Whether the truth is free of dust and scratches. false: truth has what the input has, and the network learns what
    codecs make of it; true: for networks that see several frames, since one frame does not show what dust hides."""
    sharpen_share: Share = 0.12
    sharpen_amount: Range = (0.1, 0.6)
    """Unsharp mask on the low resolution: what capture cards did."""
    grain_share: Share = 0.15
    grain_sigma: Range = (0.5, 2.5)
    """8-bit codes, before the first encode."""
    levels_share: Share = 0.3
    """Share with gamma, contrast and black level changed, in truth and input alike."""
    clean_share: Share = 0.08
    """Share that meets no codec at all."""
    near_clean_share: Share = 0.08
    """Share encoded once with hardly any loss."""
    second_share: Share = 0.5
    """Of the rest: MPEG-1 decoded and encoded again (RealVideo and others)."""
    other_single_share: Share = 0.1
    """Of the rest: one generation of something else than MPEG-1."""
    jpeg_share: Share = 0.0
    """Of the rest: each frame a grey JPEG, as still images come."""
    jpeg_quality: Annotated[Range, AfterValidator(quality)] = (5, 40)
    """libjpeg's, 1 to 100, uniform over its whole numbers."""
    mpeg1_kbps: Range = (400, 1500)
    """Log-uniform; a third of the MPEG-1 encodes use the VCD point, 1150 with its 40 KiB buffer."""
    mpeg1_quantizer: Range = (2, 12)
    """A third of the MPEG-1 encodes use a fixed quantiser."""
    second_codecs: dict[Second, float] = {
        "rv20": 0.64, "rv10": 0.12, "mpeg4": 0.12, "x264": 0.12,
    }  # fmt: skip
    """x264 with 4x4 transforms stands in for RV30/40, which no encoder makes."""
    second_kbps: Range = (150, 600)
    """Asked for; RV20 overshoots, so the record holds what came out."""
    second_quantizer: Range = (3, 16)
    duplicate_share: Share = 0.0
    """Share of sequences in which some frames show the one before them again, truth and input alike."""
    duplicate_chance: Range = (0.05, 0.3)
    """Of each frame in such a sequence."""
    dnr_share: Share = 0.0
    """Share of sequences that met a noise reduction (hqdn3d, in space and time) before the first encode."""
    dnr_strength: Range = (1.0, 4.0)
    """hqdn3d's luma_spatial; the other strengths follow as in FFmpeg's defaults."""
    resize_share: Share = 0.0
    """Share of the double encodes whose first generation had another size, so that its blocks are no longer 8 x 8."""
    resize_size: Annotated[Range, AfterValidator(positive)] = (0.7, 1.4)
    """Width and height of the first generation relative to the last one's; rounded to multiples of 16 pixels."""
    seed: int = 2

    @model_validator(mode="after")
    def _weights(self) -> Degrade:
        for weights in (self.kernels, self.second_codecs):
            if not weights or min(weights.values()) < 0 or sum(weights.values()) <= 0:
                raise ValueError("positive weights in kernels and second_codecs")
        if (
            self.clean_share + self.near_clean_share > 1
            or self.second_share + self.other_single_share + self.jpeg_share > 1
        ):
            raise ValueError("shares that add up to at most 1")
        return self


class Network(Options):
    """[network]"""

    architecture: ArchitectureName = "plain"
    """plain, or a network of the literature (docs/networks.md), on luma."""
    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    """Name of the weights: models/<name>.safetensors and models/<name>.toml."""
    channels: Annotated[int, Field(ge=4, le=256)] = 32
    blocks: Annotated[int, Field(ge=1, le=64)] = 8
    scale: Literal[1, 2, 3, 4] = 2
    plane: PlaneName = "Y"
    """RGB: three planes in and out, for comparison with luma; learns from stills alone (restore/train/colour.py)."""
    condition: list[ConditionName] = []
    """What is known beside luma, as input planes (docs/networks.md): quantiser and picture_type, which the bitstream says;
    change, what stages before the network changed, and neighbours, what the frames beside it show, which need a front.
    plain and, without a front, recurrent only."""
    front: str | None = None
    """A pipeline, by name or path, that the network is to work in: those of its stages that come before its upscale are put
    before the network in training, too. Samples must have as many frames (context) as they look at."""
    branches: bool = True
    """Train `plain` kernels as sums of branches; false: as they ship, which suits muon better."""
    symmetric: bool = False
    """Tie the weights of `plain` without branches so that a turned or mirrored picture gives the same result, turned or
    mirrored (restore/train/symmetry.py): further in short trainings. channels in multiples of 8."""
    init: str | None = None
    """Weights to start from: a model's name or a path; None: from scratch. Of a plain network also smaller ones (fewer
    channels, blocks, conditions): they are grown to the shape asked for and compute at first what they did. A recurrent
    network may start from a plain one, too."""
    weak_at: str = ""
    """For the card: what it is bad at."""

    @model_validator(mode="after")
    def _consistent(self) -> Network:
        if (self.front is None) != ("change" not in self.condition):
            raise ValueError('front and condition "change" together, or neither')
        if self.front is None and "neighbours" in self.condition:
            raise ValueError('a front with condition "neighbours"')
        if self.front is not None and (self.architecture != "plain" or self.plane != "Y"):
            raise ValueError("architecture plain and plane Y with a front")
        return self

    @property
    def recurrent(self) -> bool:
        """Whether it learns from sequences (train.sequences) and not from single frames."""
        return self.architecture == "recurrent"

    @property
    def base(self) -> str:
        """What the residual is added to and gains are measured over, in words."""
        return "the input" if self.scale == 1 else "Lanczos"


class Optim(Options):
    """[optim]"""

    iterations: Annotated[int, Field(ge=1)] = 40_000
    """Length of the schedule; `minutes` on the command line replaces it by the clock."""
    batch: Annotated[int, Field(ge=1, le=1024)] = 8
    crop: Annotated[int, Field(ge=16, le=512)] = 48
    """Side of the training patches, low-resolution pixels."""
    candidates: Annotated[int, Field(ge=1, le=16)] = 1
    """Patches drawn for every one that is trained on: the one Lanczos does worst on. 1: any."""
    margin: Annotated[int, Field(ge=0, le=16)] = 3
    """Low-resolution pixels at the patch border that the loss ignores (they lack their neighbours)."""
    optimiser: Literal["adamw", "muon"] = "adamw"
    """muon: orthogonal steps for the convolutions, AdamW for all else; further in equal time, at rates near 2e-3."""
    rate: Annotated[float, Field(gt=0, lt=1)] = 1e-3
    """Peak learning rate, reached after `warm_up` iterations, then a cosine down to 0.1 %."""
    warm_up: Annotated[int, Field(ge=0)] = 300
    charbonnier: Annotated[float, Field(gt=0)] = 1e-3
    """Epsilon of the Charbonnier loss, nominal luma."""
    mse_share: Share = 0.15
    """Last part of the schedule, on plain squared error."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999
    clip: Annotated[float, Field(gt=0)] = 1.0
    """Gradient norm limit."""
    validate_every: Annotated[int, Field(ge=1)] = 2000
    """Iterations; the report is written then, too."""
    patience: Annotated[int, Field(ge=0)] = 0
    """Stop after this many validations without a better mean gain, and ship the best; 0: never."""
    snapshots: Annotated[int, Field(ge=0)] = 0
    """Keep the weights of every this many-th validation, as models in the work folder's snapshots/; 0: none."""
    checkpoint_seconds: Annotated[float, Field(ge=0)] = 60
    """At most this much work is lost when the machine stops; 0: after every iteration."""
    condition_absent: Share = 0.3
    """Share of the patches for which some of the network's conditions, or all, are unknown: so that it does without."""
    seed: int = 3


class Recipe(Options):
    """The whole file."""

    data: Data
    degrade: Degrade = Degrade()
    network: Network
    optim: Optim = Optim()
    loss: Loss | None = None


def find_recipe(path: Path) -> Path:
    """The file itself, or a shipped recipe's name with or without its ending. Raises TrainError."""
    if path.is_file():
        return path
    known = {p.stem: p for p in sorted(recipes_dir().glob("*.toml"))}
    if path.parent == Path() and path.name.removesuffix(".toml") in known:
        return known[path.name.removesuffix(".toml")]
    raise TrainError(f"{path}: no such training recipe{hint(path.stem, known)}")


def read_recipe(path: Path) -> Recipe:
    """The recipe in `path`; TrainError with one line per fault: '<file>: [table]: key: expected ..., got ...'."""
    path = find_recipe(path)
    try:
        tables = read_toml(path, "a training recipe")
    except ValueError as error:
        raise TrainError(str(error)) from None
    known: dict[str, type[Options]] = {
        "data": Data, "degrade": Degrade, "network": Network, "optim": Optim, "loss": Loss,
    }  # fmt: skip
    problems = [
        f"{path}: [{name}]: unknown table{hint(name, known)}"
        for name in tables
        if name not in known
    ]
    parts: dict[str, Any] = {}
    for name, model in known.items():
        if name == "loss" and name not in tables:
            continue
        table = tables.get(name, {})
        if isinstance(table, dict):
            parts[name] = check(model, table, f"{path}: [{name}]", problems)
        else:
            problems.append(f"{path}: {name}: expected a table [{name}], got {table!r}")
    optim, data = parts.get("optim"), parts.get("data")
    if optim and data and optim.crop > data.crop:
        problems.append(
            f"{path}: [optim]: crop: expected at most [data] crop = {data.crop}, got {optim.crop}"
        )
    if optim and 2 * optim.margin >= optim.crop:
        problems.append(f"{path}: [optim]: margin: expected less than half of crop = {optim.crop}")
    if optim and parts.get("loss") and "mse_share" in optim.model_fields_set:
        problems.append(
            f"{path}: [optim]: mse_share: expected none beside a [loss] table; say mse = {{ weight = 20, start = 0.85 }} "
            "there"
        )
    if (network := parts.get("network")) and network.plane == "RGB":
        problems += [f"{path}: [network]: plane: {p}" for p in _beyond_colour(parts)]
    if network and data and network.recurrent != (data.truth == "all"):
        wanted = "all" if network.recurrent else "middle"
        problems.append(
            f'{path}: [data]: truth: expected "{wanted}" for architecture {network.architecture}, got "{data.truth}"'
        )
    if problems:
        raise TrainError("\n".join(problems))
    return Recipe(**parts)


def _beyond_colour(parts: dict[str, Any]) -> list[str]:
    """What a recipe asks for that R, G, B cannot have."""
    data, chain, loss = parts.get("data"), parts.get("degrade"), parts.get("loss")
    found = ["RGB learns from stills alone, got [data] clips"] if data and data.clips else []
    if chain:
        used = [n for n in ("film_share", "dnr_share", "jpeg_share") if getattr(chain, n) > 0]
        found += [f"RGB goes without [degrade] {n}, which is for luma" for n in used]
    if loss:
        used = [n for n in ("perceptual", "adversarial") if n in loss.terms()]
        found += [f"RGB goes without [loss] {n}, which is for luma" for n in used]
    return found
