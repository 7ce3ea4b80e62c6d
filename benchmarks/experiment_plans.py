"""What benchmarks/experiments.py compares: pools of pairs, arms that learn from them, and what they are tested on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from restore.nets.architectures import PlaneName
from restore.nets.edsr import EDSR
from restore.train.recipe import Data, Degrade, Folder, Kernel, Network, Optim, Recipe
from restore.train.terms import Loss, Term

HELD = [
    "clips2/kivy_city_*", "clips2/intel_asl_*", "clips2/flutter_bee_*", "clips2/udacity_road_*",
    "images/clic_2*", "images/unsplash_n*", "images/gb82_s*", "images/cid22_3*",
]  # fmt: skip
"""Sources that are tested on and never trained on."""

CODECS = ("mpeg1", "rv20", "other")


@dataclass(frozen=True)
class Arm:
    """One side of a comparison."""

    name: str
    pool: str
    network: Network
    optim: dict[str, Any] = field(default_factory=dict)
    loss: Loss | None = None
    make: Callable[[], nn.Module] | None = None
    """A network that no recipe names, in place of the architecture's; fed and read as that is."""


@dataclass(frozen=True)
class Trial:
    """A column of the table."""

    name: str
    pool: str
    """'own': the arm's."""
    categories: tuple[str, ...]
    key: str = "held-out mean"


@dataclass(frozen=True)
class Experiment:
    """A question, and what is to answer it."""

    question: str
    arms: tuple[Arm, ...]
    trials: tuple[Trial, ...]


def plain(**settings: Any) -> Network:
    """The small network of most arms."""
    return Network(**{"name": "arm", "channels": 16, "blocks": 4, "scale": 2} | settings)


def pool(degrade: Degrade, **data: Any) -> Recipe:
    """Pairs of this size and damage; stills only where no clips are named."""
    settings: dict[str, Any] = {
        "images": ["images"], "hold_out": HELD, "frames": 5, "size": 128, "crop": 64, "keep": 2,
        "context": 1, "shard_sequences": 150, "shards": 1, "val_sequences": 60,
    }  # fmt: skip
    return Recipe(
        data=Data(**settings | data), degrade=degrade, network=plain(), optim=Optim(), loss=None
    )


def clean(kernel: Kernel) -> Recipe:
    """Stills made smaller by one kernel, nothing else."""
    pure = Degrade(
        blur_share=0, kernels={kernel: 1.0}, sharpen_share=0, grain_share=0, levels_share=0,
        clean_share=1, near_clean_share=0,
    )  # fmt: skip
    return pool(pure)


def coded(second: float, other: float = 0.0, **data: Any) -> Recipe:
    """Clips and stills through MPEG-1, a share of them then through RV20, a share through another codec alone."""
    chain = Degrade(
        kernels={"bicubic": 1.0}, grain_share=0, sharpen_share=0, clean_share=0.08, near_clean_share=0.08,
        second_share=second, other_single_share=other, second_codecs={"rv20": 1.0},
    )  # fmt: skip
    settings = {
        "clips": [Folder(path="clips2")], "frames": 12, "size": 176, "still_share": 0.4, "keep": 4,
    }  # fmt: skip
    return pool(chain, **settings | data)


def still_codecs(plane: PlaneName) -> Recipe:
    """The same stills, moves and codecs, in luma or in colour."""
    made = coded(0.5, 0.1, clips=[], size=128, crop=64)
    # Gamma of R, G, B is not that of luma.
    chain = made.degrade.model_copy(update={"levels_share": 0.0})
    return made.model_copy(update={"network": plain(plane=plane), "degrade": chain})


POOLS: dict[str, Recipe] = {
    "opencv_bilinear": clean("opencv_bilinear"),
    "matlab_bilinear": clean("bilinear"),
    "matlab_bicubic": clean("catmull_rom"),
    "mixed": coded(0.5, 0.1),
    "mpeg1": coded(0.0),
    "mpeg1_rv20": coded(1.0),
    "luma": still_codecs("Y"),
    "rgb": still_codecs("RGB"),
    "many_scenes": coded(0.5, 0.1, shard_sequences=160, keep=2, frames=16),
    "many_frames": coded(0.5, 0.1, shard_sequences=20, keep=16, frames=16),
}

KERNELS = ("opencv_bilinear", "matlab_bilinear", "matlab_bicubic")

WHOLE = Trial("clean, MPEG-1, RV20, others", "mixed", ("clean", "near_clean", *CODECS))


def with_batch_norm() -> nn.Module:
    """EDSR with batch normalisation behind every convolution of its residual blocks, as SRResNet has it."""
    net = EDSR(16, 4, 2)
    for block in net.body:
        for name, child in list(block.named_children()):
            if isinstance(child, nn.Conv2d):
                setattr(block, name, nn.Sequential(child, nn.BatchNorm2d(child.out_channels)))
    return net


def small_edsr() -> Network:
    return plain(architecture="edsr")


EXPERIMENTS: dict[str, Experiment] = {
    "kernels": Experiment(
        "what a wrong down-scaling kernel in training costs",
        tuple(Arm(name, name, plain()) for name in KERNELS),
        tuple(Trial(name, name, ("clean",)) for name in KERNELS),
    ),
    "losses": Experiment(
        "L1, Charbonnier or squared error",
        (
            Arm("L1", "mixed", plain(), loss=Loss(l1=Term(weight=1))),
            Arm("Charbonnier", "mixed", plain(), loss=Loss(charbonnier=Term(weight=1))),
            Arm("squared error", "mixed", plain(), loss=Loss(mse=Term(weight=20))),
        ),
        (WHOLE,),
    ),
    "batch_norm": Experiment(
        "batch normalisation or none",
        (
            Arm("none", "matlab_bicubic", small_edsr()),
            Arm("batch norm", "matlab_bicubic", small_edsr(), make=with_batch_norm),
        ),
        (Trial("MATLAB bicubic", "matlab_bicubic", ("clean",)),),
    ),
    "codecs": Experiment(
        "pairs through MPEG-1 alone, or MPEG-1 and then RV20",
        (Arm("MPEG-1", "mpeg1", plain()), Arm("MPEG-1 -> RV20", "mpeg1_rv20", plain())),
        (Trial("MPEG-1", "mixed", ("mpeg1",)), Trial("MPEG-1 -> RV20", "mixed", ("rv20",))),
    ),
    "colour": Experiment(
        "luma alone, or R, G, B",
        (Arm("Y", "luma", plain()), Arm("RGB", "rgb", plain(plane="RGB"))),
        tuple(Trial(c, "own", (c,)) for c in ("clean", *CODECS)),
    ),
    "scenes": Experiment(
        "many scenes of few frames, or few of many",
        (
            Arm("160 scenes, 2 samples each", "many_scenes", plain()),
            Arm("20 scenes, 16 samples each", "many_frames", plain()),
        ),
        (WHOLE,),
    ),
    "condition": Experiment(
        "quantiser and picture type as inputs, or none",
        (
            Arm("none", "mixed", plain()),
            Arm("with", "mixed", plain(condition=["quantiser", "picture_type"])),
        ),
        tuple(Trial(c, "mixed", (c,)) for c in ("clean", "near_clean", *CODECS)),
    ),
}
