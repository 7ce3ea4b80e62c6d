"""Pure tensor operations on planes: codes and nominal values, resampling, blurs.

A plane is (T, 1, H, W). Nominal units: Y 0..1 from black to white, Cb and Cr -0.5..0.5; excursions are legal.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from restore.color import Siting
from restore.video import QuantMap, VideoFormat

Kernel = Literal["lanczos3", "bicubic", "bilinear", "area"]

_SUPPORT: dict[str, float] = {"lanczos3": 3.0, "bicubic": 2.0, "bilinear": 1.0, "area": 0.5}


def code_scale(depth: int, full_range: bool, chroma: bool) -> tuple[float, float]:
    """(offset, scale) with nominal = (code - offset) / scale, for `depth`-bit codes (H.273 eq. 20 to 31)."""
    step = float(1 << (depth - 8))
    if full_range:
        peak = float((1 << depth) - 1)
        return (float(1 << (depth - 1)) if chroma else 0.0), peak
    return (128.0 * step, 224.0 * step) if chroma else (16.0 * step, 219.0 * step)


def to_nominal(codes: Tensor, depth: int, full_range: bool, chroma: bool) -> Tensor:
    """Integer codes (any integer dtype) -> float32 nominal values, exactly invertible by `to_codes`."""
    offset, scale = code_scale(depth, full_range, chroma)
    return codes.to(torch.float32, copy=True).sub_(offset).div_(scale)


def to_codes(
    plane: Tensor, depth: int, full_range: bool, chroma: bool, dither: Tensor | None = None
) -> Tensor:
    """Nominal float -> integer codes, rounded to nearest and clipped to the legal code range;
    `dither` ((H, W), in codes, zero mean) is added before rounding.
    uint8 for 8 bits, uint16 above (int32 where the device lacks uint16 arithmetic is never exposed)."""
    offset, scale = code_scale(depth, full_range, chroma)
    if depth <= 16 and plane.ndim == 4 and _opencv_takes(plane):
        return _to_codes(plane, depth, scale, offset, dither)
    codes = plane.float() * scale + offset
    if dither is not None:
        codes += dither
    codes = codes.round_().clamp_(0, (1 << depth) - 1)
    return codes.to(torch.uint8 if depth == 8 else torch.uint16)


def _to_codes(
    plane: Tensor, depth: int, scale: float, offset: float, dither: Tensor | None
) -> Tensor:
    """`to_codes` in one pass over each plane in place of five: OpenCV rounds and clips as it writes. Another order of
    sums: a value that lies within float32's rounding of the middle between two codes may become the other."""
    codes = torch.empty(plane.shape, dtype=torch.uint8 if depth == 8 else torch.uint16)
    kind = cv2.CV_8U if depth == 8 else cv2.CV_16U
    added = None if dither is None else dither.numpy()
    flat = plane.contiguous().flatten(0, 1).numpy()
    for picture, out in zip(flat, codes.flatten(0, 1).numpy(), strict=True):
        other, share = (picture, 0.0) if added is None else (added, 1.0)
        cv2.addWeighted(picture, scale, other, share, offset, dst=out, dtype=kind)
        if depth not in (8, 16):
            np.minimum(out, (1 << depth) - 1, out=out)
    return codes


def resample(
    plane: Tensor,
    size: tuple[int, int],
    *,
    kernel: Kernel = "lanczos3",
    scale: tuple[float, float] | None = None,
    shift: tuple[float, float] = (0.0, 0.0),
) -> Tensor:
    """(T, C, h, w) -> (T, C, H, W) with `size` = (H, W), by a separable windowed kernel.

    Output sample j looks at input position (j + 0.5) / scale - 0.5 + shift (both axes, input samples), so the
    default keeps picture edges aligned. `scale` is out/in and defaults to the ratio of the sizes; give it when
    sizes were rounded (odd chroma). Edges repeat. Below scale 1 the kernel widens (anti-aliasing). Weights sum
    to 1, so flat areas stay flat. Result: float32 for float32 input, else the input's dtype.
    """
    height, width = plane.shape[-2:]
    sy, sx = scale or (size[0] / height, size[1] / width)
    fits = size[0] <= height * sy and size[1] <= width * sx and _whole(sy) and _whole(sx)
    if fits and _opencv_takes(plane):
        return _enlarge(plane, size, kernel, (int(sy), int(sx)), shift)
    return _by_matrix(plane, size, kernel, (sy, sx), shift)


def _opencv_takes(plane: Tensor) -> bool:
    """Whether OpenCV may compute it: it knows no gradients."""
    return plane.device.type == "cpu" and plane.dtype == torch.float32 and not plane.requires_grad


def _whole(scale: float) -> bool:
    return scale >= 1 and scale == int(scale)


def _by_matrix(
    plane: Tensor,
    size: tuple[int, int],
    kernel: Kernel,
    scale: tuple[float, float],
    shift: tuple[float, float],
) -> Tensor:
    """`resample` for any scale, on any device: the reference of `_enlarge`."""
    height, width = plane.shape[-2:]
    rows = _weights(height, size[0], scale[0], shift[0], kernel, plane.device, plane.dtype)
    columns = _weights(width, size[1], scale[1], shift[1], kernel, plane.device, plane.dtype)
    # The cheaper axis first: the one that grows the plane least.
    if size[0] * width <= height * size[1]:
        return (rows @ plane) @ columns.T
    return rows @ (plane @ columns.T)


def _enlarge(
    plane: Tensor,
    size: tuple[int, int],
    kernel: Kernel,
    scale: tuple[int, int],
    shift: tuple[float, float],
) -> Tensor:
    """`resample` by whole numbers on a CPU, 5 times faster: each of the scale[0] * scale[1] phases of the result is
    one short filter of the whole plane."""
    t, c, height, width = plane.shape
    down = [_phase(r, scale[0], shift[0], kernel) for r in range(scale[0])]
    across = [_phase(r, scale[1], shift[1], kernel) for r in range(scale[1])]
    edge = cv2.BORDER_REPLICATE
    big = np.empty((t * c, height * scale[0], width * scale[1]), np.float32)
    for picture, out in zip(plane.contiguous().flatten(0, 1), big, strict=True):
        flat = picture.numpy()
        if is_flat(picture):
            out[...] = flat[0, 0]
            continue
        wide = [
            cv2.filter2D(flat, cv2.CV_32F, taps[None], anchor=(anchor, 0), borderType=edge)
            for taps, anchor in across
        ]
        # Columns of all phases side by side, so that rows are filtered and written whole.
        row = cv2.merge(wide).reshape(height, -1) if len(wide) > 1 else wide[0]
        for y, (taps, anchor) in enumerate(down):
            rows = out[y :: scale[0]]
            cv2.filter2D(row, cv2.CV_32F, taps[:, None], rows, (0, anchor), borderType=edge)
    whole = torch.from_numpy(big).view(t, c, height * scale[0], width * scale[1])
    return whole[..., : size[0], : size[1]]


def is_flat(plane: Tensor) -> bool:
    """Whether an (..., h, w) plane is one value all over, as the chroma of black-and-white film is: what keeps flat areas
    flat leaves it as it is. The first row tells of other planes at once. A GPU is never asked: the answer would cost
    it more than the work."""
    if plane.device.type != "cpu":
        return False
    return all(bool(low == high) for low, high in (p.aminmax() for p in (plane[..., :1, :], plane)))


@lru_cache(maxsize=64)
def _phase(number: int, scale: int, shift: float, kernel: Kernel) -> tuple[Any, int]:
    """Weights, and the place among them of input sample i, for output sample scale * i + number."""
    centre = (number + 0.5) / scale - 0.5 + shift
    support = _SUPPORT[kernel]
    first = min(0, math.ceil(centre - support - 1e-9))
    last = max(0, math.floor(centre + support + 1e-9))
    weight = _kernel(torch.arange(first, last + 1, dtype=torch.float64) - centre, kernel)
    return (weight / weight.sum()).float().numpy(), -first


def chroma_shift(fmt: VideoFormat, scale: tuple[float, float]) -> tuple[float, float]:
    """The `shift` (vertical, horizontal) that `resample` needs so that the chroma of `fmt`, resampled by `scale`
    (out/in), lies over its luma, resampled with edges aligned by the same `scale`, at the same siting.

    A chroma sample i of an axis subsampled by s lies at luma position s*i + d. Luma moves as x -> f*(x + 1/2) - 1/2,
    so the output's chroma sample j shows input chroma position ((s*j + d + 1/2) / f - 1/2 - d) / s; taking from it
    what `resample` looks at unshifted leaves (d - (s - 1) / 2) / s * (1/f - 1). Unknown siting is taken as LEFT.
    """
    if fmt.chroma is None:
        return 0.0, 0.0
    vertical, horizontal = (
        _siting_shift(1 << log2, site, factor)
        for log2, site, factor in zip(
            fmt.chroma.value, (fmt.color.siting or Siting.LEFT).value, scale, strict=True
        )
    )
    return vertical, horizontal


def _siting_shift(step: int, site: float, factor: float) -> float:
    # Siting is given for 2:1 (0, 1/2 or 1): 0 is the first luma sample of the block, 1/2 its centre, 1 its last.
    return (site - 0.5) * (step - 1) / step * (1 / factor - 1)


@lru_cache(maxsize=64)
def _weights(
    size_in: int,
    size_out: int,
    scale: float,
    shift: float,
    kernel: Kernel,
    device: torch.device,
    dtype: torch.dtype,
) -> Tensor:
    """Dense (size_out, size_in) resampling matrix, computed in float64."""
    reach = max(1.0, 1.0 / scale)
    support = _SUPPORT[kernel] * reach
    centre = (torch.arange(size_out, dtype=torch.float64) + 0.5) / scale - 0.5 + shift
    first = torch.ceil(centre - support - 1e-9).long()
    taps = first[:, None] + torch.arange(math.ceil(2 * support) + 1)
    weight = _kernel((taps - centre[:, None]) / reach, kernel)
    weight = weight / weight.sum(1, keepdim=True)
    matrix = torch.zeros(size_out, size_in, dtype=torch.float64)
    matrix.scatter_add_(1, taps.clamp(0, size_in - 1), weight)
    return matrix.to(device=device, dtype=dtype)


def _kernel(x: Tensor, kernel: Kernel) -> Tensor:
    a = x.abs()
    if kernel == "area":
        return (a <= 0.5).double()
    if kernel == "bilinear":
        return (1 - a).clamp_min(0)
    if kernel == "bicubic":  # Keys 1981, a = -0.5 (Catmull-Rom)
        near = 1.5 * a**3 - 2.5 * a**2 + 1
        far = -0.5 * a**3 + 2.5 * a**2 - 4 * a + 2
        return torch.where(a <= 1, near, torch.where(a < 2, far, torch.zeros_like(a)))
    return torch.where(a < 3, torch.sinc(x) * torch.sinc(x / 3), torch.zeros_like(a))


def gaussian_blur(plane: Tensor, sigma: float) -> Tensor:
    """(T, C, H, W) -> the same, separable Gaussian cut at 3 sigma, edges repeated; sigma 0: as it is.
    On a CPU OpenCV does it, 10 times faster for single planes; `gaussian_blur_reference` is what it must equal."""
    if sigma <= 0:
        return plane
    if not _opencv_takes(plane):
        return gaussian_blur_reference(plane, sigma)
    size = 2 * _reach(sigma) + 1
    blurred, edge = torch.empty(plane.shape), cv2.BORDER_REPLICATE
    flat = plane.contiguous().flatten(0, 1).numpy()
    for picture, out in zip(flat, blurred.flatten(0, 1).numpy(), strict=True):
        cv2.GaussianBlur(picture, (size, size), sigma, dst=out, borderType=edge)
    return blurred


def gaussian_blur_reference(plane: Tensor, sigma: float) -> Tensor:
    """`gaussian_blur` in PyTorch, on any device, in the plane's dtype."""
    radius = _reach(sigma)
    x = torch.arange(-radius, radius + 1, dtype=torch.float64)
    taps = torch.exp(-(x**2) / (2 * sigma**2))
    taps = (taps / taps.sum()).to(device=plane.device, dtype=plane.dtype)
    t, c, h, w = plane.shape
    flat = plane.reshape(t * c, 1, h, w)
    flat = F.conv2d(F.pad(flat, (0, 0, radius, radius), "replicate"), taps.view(1, 1, -1, 1))
    flat = F.conv2d(F.pad(flat, (radius, radius, 0, 0), "replicate"), taps.view(1, 1, 1, -1))
    return flat.reshape(t, c, h, w)


def _reach(sigma: float) -> int:
    return max(1, math.ceil(3 * sigma))


def quant_plane(quant: QuantMap, size: tuple[int, int], source_height: int) -> Tensor:
    """(1, 1, H, W) float32: the step of the cell that each sample of a plane of `size` lies in, for a plane that shows
    the whole picture of `source_height` luma lines (luma or chroma, at any scale); the last cells reach outwards."""
    scale = size[0] / source_height
    cell = max(1, round(quant.cell * scale))
    places = []
    for axis in (0, 1):
        first = round(quant.origin[axis] * scale)
        at = torch.arange(first, first + size[axis], device=quant.steps.device)
        places.append(at.div_(cell, rounding_mode="floor").clamp_max(quant.steps.shape[axis] - 1))
    rows, columns = places
    return quant.steps.float()[rows][:, columns][None, None]


def mean_steps(planes: Tensor, axis: int) -> Tensor:
    """(T, 1, H, W) float32 -> (T, n - 1): the mean size of the steps from sample to sample along `axis` (2 or 3), n long."""
    if not _opencv_takes(planes):
        return planes.diff(dim=axis).abs().mean((1, 5 - axis))
    found = []
    for picture in planes[:, 0].numpy():
        pair = (picture[1:], picture[:-1]) if axis == 2 else (picture[:, 1:], picture[:, :-1])
        found.append(cv2.reduce(cv2.absdiff(*pair), 3 - axis, cv2.REDUCE_AVG).ravel())
    return torch.from_numpy(np.stack(found))


def pool(plane: Tensor, size: tuple[int, int]) -> Tensor:
    """(T, C, h, w) float32 -> (T, C, H, W), no larger: the mean of what each cell of an even grid covers."""
    if not _opencv_takes(plane):
        return F.adaptive_avg_pool2d(plane, size)
    return _resize(plane, size, cv2.INTER_AREA)


def stretch(plane: Tensor, size: tuple[int, int]) -> Tensor:
    """(T, C, h, w) float32 -> (T, C, H, W), no smaller: bilinear, edges aligned and repeated."""
    if not _opencv_takes(plane):
        return F.interpolate(plane, size, mode="bilinear", align_corners=False)
    return _resize(plane, size, cv2.INTER_LINEAR)


def _resize(plane: Tensor, size: tuple[int, int], how: int) -> Tensor:
    done = torch.empty(*plane.shape[:2], *size)
    flat = plane.contiguous().flatten(0, 1).numpy()
    for picture, out in zip(flat, done.flatten(0, 1).numpy(), strict=True):
        cv2.resize(picture, (size[1], size[0]), dst=out, interpolation=how)
    return done


def turned(planes: Tensor, view: int) -> Tensor:
    """One of the eight symmetries of the square, in the last two dimensions: 1 mirrors left and right, 2 top and bottom,
    4 transposes what that made."""
    sides = [-1] * (view & 1) + [-2] * (view >> 1 & 1)
    planes = planes.flip(sides) if sides else planes
    return planes.mT.contiguous() if view & 4 else planes


def turned_back(planes: Tensor, view: int) -> Tensor:
    """What `turned` was given."""
    return turned(planes.mT if view & 4 else planes, view & 3)
