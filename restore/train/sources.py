"""Clean high-resolution sequences: pieces of real clips at several scales and speeds, and stills set in motion."""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.errors import TrainError
from restore.train.codecs import Codes, read_clip
from restore.train.drawn import NAME as DRAWN
from restore.train.drawn import draw_still
from restore.train.files import writing
from restore.train.recipe import Data

Frames = NDArray[np.float32]
"""Luma in 8-bit limited-range codes, not rounded, (T, H, W)."""

CRISP_SIGMA = 0.8
"""Pixels of the truth: lifts the top octave of frequencies against the others."""

CLIPS = {".mp4", ".mkv", ".avi", ".mov", ".webm", ".y4m"}
_STILLS = {".webp", ".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}


@dataclass(frozen=True)
class Source:
    """One file. Splits are by source: no frame of a validation source is ever trained on."""

    name: str
    """Path relative to the data directory, with /."""
    path: Path
    still: bool
    scale: float = 1.0


def find_sources(data: Data, root: Path) -> tuple[list[Source], list[Source]]:
    """(training sources, validation sources), each sorted by name."""
    found: list[Source] = []
    problems = []
    folders = [(f.path, False, f.scale) for f in data.clips] + [(p, True, 1.0) for p in data.images]
    for name, still, scale in folders:
        suffixes = _STILLS if still else CLIPS
        files = sorted(p for p in (root / name).glob("*") if p.suffix.lower() in suffixes)
        if not files:
            kind = "images" if still else "clips"
            problems.append(
                f"{root / name}: expected {kind} ({', '.join(sorted(suffixes))}), found none"
            )
        found += [Source(f"{name}/{p.name}", p, still, scale) for p in files]
    held = {s.name for s in found for pattern in data.hold_out if fnmatch(s.name, pattern)}
    train = [s for s in found if s.name not in held]
    validation = [s for s in found if s.name in held]
    if not problems and (not train or not validation):
        side = "hold_out leaves nothing to train on" if not train else "hold_out matches no source"
        problems.append(
            f"[data]: hold_out: {side}; patterns are relative paths such as 'clips/a_*'"
        )
    if problems:
        raise TrainError("\n".join(problems))
    return train, validation


class Library:
    """Reads sources. Decoded clips are kept as files in `cache` and mapped, so that pieces cost nothing."""

    def __init__(self, data: Data, cache: Path, scale: int, *, colour: bool = False) -> None:
        """`scale`: how much larger than the low resolution, in whose pixels `data` counts, sequences are. `colour`: stills
        are R, G, B (see train.colour)."""
        self.colour = colour
        self.data = data
        self.cache = cache
        self.scale = scale

    def sequence(
        self, sources: list[Source], rng: np.random.Generator
    ) -> tuple[Frames, dict[str, Any]]:
        """(frames (T, H, W), or (T, H, W, 3) in colour, with H and W multiples of 16 * scale, the record of what was done)."""
        stills = [s for s in sources if s.still]
        clips = [s for s in sources if not s.still]
        if stills and (not clips or rng.random() < self.data.still_share):
            frames, record = self._animated(stills, rng)
        else:
            frames, record = self._piece(clips[rng.integers(len(clips))], rng)
        if self.data.crisp_share and rng.random() < self.data.crisp_share:
            amount = float(rng.uniform(*self.data.crisp_amount))
            frames = np.stack([_crisp(frame, amount) for frame in frames])
            record["crisp"] = round(amount, 3)
        return frames, record

    def _piece(self, source: Source, rng: np.random.Generator) -> tuple[Frames, dict[str, Any]]:
        """A run of consecutive frames, sometimes at 2 or 3 times the speed, sometimes smaller."""
        clip = self._clip(source)
        count = self.data.frames
        step = int(
            rng.choice([s for s in (1, 1, 1, 2, 3) if s == 1 or s * (count - 1) < len(clip)])
        )
        first = int(rng.integers(max(1, len(clip) - step * (count - 1))))
        frames: Codes = clip[first : first + step * (count - 1) + 1 : step]
        least = self.scale * (self.data.crop + 16) / min(clip.shape[1:])
        # The low resolution is never made of less than 0.3 of what there is.
        least = min(1.0, max(0.3 * self.scale, least))
        shrink = float(rng.uniform(least, 1.0)) if rng.random() < 0.4 else 1.0
        scaled = np.stack([_shrink(f.astype(np.float32), shrink) for f in frames])
        height, width = self._size(scaled.shape[1:])
        y = int(rng.integers(scaled.shape[1] - height + 1))
        x = int(rng.integers(scaled.shape[2] - width + 1))
        piece = np.ascontiguousarray(scaled[:, y : y + height, x : x + width])
        if rng.random() < 0.5:
            piece = np.ascontiguousarray(piece[:, :, ::-1])
        record = {"source": source.name, "first": first, "step": step, "shrink": round(shrink, 3)}
        return piece, record

    def _animated(
        self, stills: list[Source], rng: np.random.Generator
    ) -> tuple[Frames, dict[str, Any]]:
        """A still under a moving camera; sometimes with an oval cut from a second still in front."""
        still, name = self._still(stills, rng)
        room = self.scale * self.data.crop + 96
        least = min(1.0, room / min(still.shape[:2]))
        # Half of them whole, so that texture keeps the sharpness it has; half smaller, as a wider shot.
        least = min(1.0, max(0.175 * self.scale, least))
        shrink = float(rng.uniform(least, 1.0)) if rng.random() < 0.5 else 1.0
        still = _shrink(still, shrink)
        height, width = self._size((still.shape[0] - 32, still.shape[1] - 32))
        frames = self._camera(still, (height, width), rng, speed=3.0)
        record = {"source": name, "shrink": round(shrink, 3)}
        if rng.random() < self.data.layer_share:
            front = stills[rng.integers(len(stills))]
            layer = self._camera(_read_still(front, self.colour), (height, width), rng, speed=2.0)
            alpha = _oval(height, width, self.data.frames, rng)
            alpha = alpha[..., None] if self.colour else alpha
            frames = frames * (1 - alpha) + layer * alpha
            record["layer"] = front.name
        return np.clip(frames, 0, 255, dtype=np.float32), record

    def _still(
        self, stills: list[Source], rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], str]:
        """A picture and its name. Where nothing is to be drawn this takes nothing else from `rng` either, so that recipes
        from before there were drawn stills keep their pairs."""
        if self.data.drawn_share and rng.random() < self.data.drawn_share:
            still = draw_still(rng)
            return (np.repeat(still[..., None], 3, 2) if self.colour else still), DRAWN
        source = stills[rng.integers(len(stills))]
        return _read_still(source, self.colour), source.name

    def _camera(
        self,
        still: NDArray[np.float32],
        size: tuple[int, int],
        rng: np.random.Generator,
        speed: float,
    ) -> Frames:
        steady = bool(rng.random() < self.data.steady_share)
        return _camera(still, size, self.data.frames, rng, speed, steady=steady)

    def _size(self, available: tuple[int, ...]) -> tuple[int, int]:
        """Largest (height, width) in whole macroblocks of the low resolution that fits, with the longest side at most
        scale * size."""
        block = 16 * self.scale
        height, width = (min(self.scale * self.data.size, n // block * block) for n in available)
        if min(height, width) < self.scale * self.data.crop:
            raise TrainError(
                f"[data]: crop: a source of {available[1]}x{available[0]} is too small for crops of "
                f"{self.scale * self.data.crop}; lower crop or leave the file out"
            )
        return height, width

    def _clip(self, source: Source) -> Codes:
        key = zlib.crc32(f"{source.name} {source.scale} {source.path.stat().st_size}".encode())
        path = self.cache / f"{source.path.stem}-{key:08x}.npy"
        if not path.exists():
            memory = io.BytesIO()  # written by NumPy itself, a full disk would have no name
            np.save(memory, read_clip(source.path, source.scale))
            # Of several processes that read the same clip each writes a file of its own.
            part = path.with_suffix(f".{np.random.SeedSequence().entropy}.part")
            with writing(path):
                self.cache.mkdir(parents=True, exist_ok=True)
                try:
                    part.write_bytes(memory.getbuffer())
                    part.replace(path)
                finally:
                    part.unlink(missing_ok=True)
        frames: Codes = np.load(path, mmap_mode="r")
        return frames


def _read_still(source: Source, colour: bool) -> NDArray[np.float32]:
    """(H, W), or (H, W, 3) R, G, B, in limited-range codes."""
    grey = cv2.imread(str(source.path), cv2.IMREAD_COLOR_RGB if colour else cv2.IMREAD_GRAYSCALE)
    if grey is None:
        raise TrainError(f"{source.path}: not an image that OpenCV can read")
    return 16 + grey.astype(np.float32) * (219 / 255)


def _shrink(frame: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    if scale >= 1:
        return frame
    size = round(frame.shape[1] * scale), round(frame.shape[0] * scale)
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA).astype(np.float32)


def _crisp(frame: NDArray[np.float32], amount: float) -> NDArray[np.float32]:
    """Unsharp mask, within the codes of video levels and a little beyond, as sharpened film has it."""
    soft = cv2.GaussianBlur(frame, (0, 0), CRISP_SIGMA)
    crisp: NDArray[np.float32] = np.clip(frame + amount * (frame - soft), 1, 254)
    return crisp


def _camera(
    still: NDArray[np.float32],
    size: tuple[int, int],
    count: int,
    rng: np.random.Generator,
    speed: float,
    *,
    steady: bool,
) -> Frames:
    """Pan with acceleration, zoom, turn and a little shake; `steady`: only pans by whole pixels, which interpolate
    nothing."""
    height, width = size
    free = np.array([still.shape[1] - width, still.shape[0] - height], float)
    velocity = rng.normal(0, speed / 2, 2) * (rng.random() < 0.85)
    t = np.arange(count)
    path = t[:, None] * velocity + 0.5 * t[:, None] ** 2 * rng.normal(0, 0.02, 2)
    path += rng.normal(0, 0.25 * (rng.random() < 0.4), (count, 2))
    # Slowed where the picture is too small for it, then placed so that the window stays inside.
    reach = np.maximum(np.ptp(path, axis=0), 1e-6)
    path *= np.minimum(1, np.maximum(free, 0) * 0.9 / reach)
    start = rng.random(2) * np.maximum(free - np.ptp(path, axis=0), 0) - path.min(axis=0)
    path += start
    zoom = t * (rng.normal(0, 0.002) * (rng.random() < 0.5))
    turn = t * (rng.normal(0, 0.0015) * (rng.random() < 0.4))
    if steady:
        path, zoom, turn = np.rint(path), 0 * zoom, 0 * turn
    cx, cy = width / 2, height / 2
    frames = []
    for offset, z, a in zip(path, zoom, turn, strict=True):
        c, s = (1 + z) * np.cos(a), (1 + z) * np.sin(a)
        # Destination pixel (x, y) looks at the still at offset + centre + R (p - centre).
        matrix = np.array(
            [[c, -s, offset[0] + cx - c * cx + s * cy], [s, c, offset[1] + cy - s * cx - c * cy]]
        )
        flags = (cv2.INTER_NEAREST if steady else cv2.INTER_LANCZOS4) | cv2.WARP_INVERSE_MAP
        frames.append(
            cv2.warpAffine(
                still, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT_101
            )
        )
    return np.stack(frames).astype(np.float32)


def _oval(height: int, width: int, count: int, rng: np.random.Generator) -> Frames:
    """A soft-edged oval that drifts: (T, H, W) in 0..1."""
    radius = rng.uniform(0.12, 0.3, 2) * (height, width)
    centre = rng.uniform(0.25, 0.75, 2) * (height, width)
    velocity = rng.normal(0, 2.5, 2)
    y, x = (axis.astype(np.float32) for axis in np.ogrid[:height, :width])
    masks = []
    for t in range(count):
        cy, cx = centre + velocity * t
        distance = np.sqrt(((y - cy) / radius[0]) ** 2 + ((x - cx) / radius[1]) ** 2)
        masks.append(np.clip((1 - distance) * radius.min() / 2, 0, 1))
    return np.stack(masks).astype(np.float32)
