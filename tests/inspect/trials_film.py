"""Trials of what is asked of the picture: faults of film, of codecs, and what was put on top."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from restore.grid import measure_noise
from restore.inspect import dirt as dirt_
from restore.inspect import flicker as flicker_
from restore.inspect import noise as noise_
from restore.inspect import sharpness as sharpness_
from restore.inspect import weave as weave_
from restore.inspect.blocks import grid_of
from restore.inspect.look import Codes
from restore.inspect.overlays import find_logo, view
from restore.inspect.scratches import scratches
from restore.inspect.subtitles import find_lines, find_subtitles
from tests.inspect.synthetic import Floats, Rng, codes, film, grain, still


def noisy(rng: Rng, fault: bool) -> bool:
    sigma = rng.uniform(3, 9) if fault else rng.uniform(0, 0.8)
    luma = codes(grain(rng, film(rng, 4), sigma))
    return measure_noise(torch.from_numpy(luma)[:, None]) > noise_.VISIBLE


def flickers(rng: Rng, fault: bool) -> bool:
    clean = film(rng, 16, speed=2)
    fade = np.linspace(1, rng.uniform(0.7, 1.0), 16)
    gain = rng.normal(1, rng.uniform(0.015, 0.05), 16) if fault else np.ones(16)
    luma = codes(grain(rng, clean * (fade * gain)[:, None, None].astype(np.float32), 2))
    return flicker_.flicker(luma) > flicker_.VISIBLE


def _path(rng: Rng, frames: int) -> Floats:
    """(frames, 2): a hand-held pan, smooth."""
    t = np.arange(frames, dtype=np.float32)
    swing = rng.uniform(0, 2, 2) * np.sin(2 * np.pi * t[:, None] / rng.uniform(18, 40, 2))
    return (rng.uniform(-1, 1, 2) * t[:, None] + swing).astype(np.float32)


def _shot(rng: Rng, path: Floats, height: int = 96, width: int = 128) -> Floats:
    margin = 40
    picture = still(rng, height + 2 * margin, width + 2 * margin)
    frames = []
    for x, y in path:
        shift = np.array([[1, 0, -margin - x], [0, 1, -margin - y]], np.float32)
        frames.append(cv2.warpAffine(picture, shift, (width, height), flags=cv2.INTER_CUBIC))
    return np.stack(frames).astype(np.float32)


def weaves(rng: Rng, fault: bool) -> bool:
    path = _path(rng, 16)
    if fault:
        path += rng.normal(0, rng.uniform(0.4, 1.5), path.shape).astype(np.float32)
    luma = codes(grain(rng, _shot(rng, path), 2))
    return max(weave_.weave(luma)) > weave_.VISIBLE


def dirty(rng: Rng, fault: bool) -> bool:
    clean = _shot(rng, _path(rng, 5))
    for frame in clean if fault else []:
        for _ in range(rng.integers(2, 5)):
            x, y = rng.integers(8, (120, 88))
            radii = rng.integers(1, 4, 2)
            around = float(np.mean(frame[y - 4 : y + 5, x - 4 : x + 5]))
            colour = 225.0 if around < 130 else 25.0
            cv2.ellipse(
                frame, (int(x), int(y)), (int(radii[0]), int(radii[1])), 0, 0, 360, colour, -1
            )
    luma = codes(grain(rng, clean, rng.uniform(0, 2.5)))
    return dirt_.dirt(luma).spots >= dirt_.MANY


def scratched(rng: Rng, fault: bool) -> bool:
    path = _path(rng, 12)
    pan = rng.choice([-1, 1]) * rng.uniform(0.8, 1.8) * np.arange(12)
    path[:, 0] = (pan + rng.uniform(0, 1) * np.sin(np.arange(12) / 5)).astype(np.float32)
    clean = _shot(rng, path)
    column = rng.uniform(15, 112)
    if fault:
        sign = 1 if clean[:, :, int(column)].mean() < 120 else -1  # or it is not seen
        for frame in clean:
            x = column + rng.normal(0, 0.3)
            profile = np.exp(-(((np.arange(128) - x) / rng.uniform(0.6, 1.2)) ** 2))
            frame += np.float32(sign * rng.uniform(18, 40)) * profile.astype(np.float32)
    elif rng.random() < 0.5:  # a pole that stands in the scene
        for n, frame in enumerate(clean):
            x = int(column - path[n, 0])
            if 2 < x < 124:
                frame[:, x : x + 2] += 30
    return scratches(codes(grain(rng, clean, 1.5))).lines > 0


def blocky(rng: Rng, fault: bool) -> bool:
    luma = film(rng, 8, 96, 128)
    if fault:
        step = rng.uniform(16, 48)
        table = step * (1 + np.add.outer(np.arange(8), np.arange(8)) / 4)
        for frame in luma:
            for y in range(0, 96, 8):
                for x in range(0, 128, 8):
                    block = cv2.dct(np.ascontiguousarray(frame[y : y + 8, x : x + 8]))
                    kept = (np.round(block / table) * table).astype(np.float32)
                    frame[y : y + 8, x : x + 8] = cv2.idct(kept)
    else:
        luma = grain(rng, luma, rng.uniform(0, 3))
    return grid_of(codes(luma)) is not None


def enlarged(rng: Rng, fault: bool) -> bool:
    """Of pictures with detail to their limit, as a camera gives them."""
    luma = np.stack([still(rng, 96, 128) for _ in range(2)])
    fine = grain(rng, luma, 4)
    if fault:
        times = rng.uniform(1.6, 3)
        size = (int(128 / times), int(96 / times))
        kernel = int(rng.choice([cv2.INTER_CUBIC, cv2.INTER_LANCZOS4, cv2.INTER_LINEAR]))
        small = [cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in fine]
        fine = np.stack([cv2.resize(f, (128, 96), interpolation=kernel) for f in small])
    found = sharpness_.sharpness(codes(fine))
    return found.across is not None and found.across < sharpness_.SOFT


def _text(rng: Rng, words: int) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz"
    lengths = rng.integers(2, 8, words)
    return " ".join("".join(rng.choice(list(letters), n)) for n in lengths)


def with_logo(rng: Rng, fault: bool) -> bool:
    views = []
    x, y = int(rng.choice([6, 130])), int(rng.choice([20, 100]))
    for _ in range(6):
        shot = codes(grain(rng, _shot(rng, _path(rng, 4), 112, 176), 1.5))
        for frame in shot if fault else []:
            cv2.putText(frame, "TVX", (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 215, 1)
            cv2.rectangle(frame, (x - 3, y - 14), (x + 34, y + 4), 60, 1)
        views.append(view(shot))
    return find_logo(views)[0] is not None


def _write(shot: Codes, text: str, at: tuple[int, int], size: float) -> None:
    for frame in shot:
        cv2.putText(frame, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, 20, 3)
        cv2.putText(frame, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, 230, 1)


def _centred(rng: Rng, size: float) -> tuple[str, int]:
    """(words, where they begin in a picture 176 wide)."""
    text = _text(rng, int(rng.integers(2, 4)))[:22]
    (wide, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
    return text, (176 - wide) // 2


def with_subtitles(rng: Rng, fault: bool) -> bool:
    """Words at one place in four shots, some of still scenes; or signs: one in the place of subtitles that the camera shows
    for long, others elsewhere, or that move with their scene."""
    size, line = float(rng.uniform(0.33, 0.45)), int(rng.uniform(0.85, 0.95) * 144)
    kind = int(rng.integers(4))
    shots = []
    sign, left = _centred(rng, size)
    for n in range(4):
        path = _path(rng, 6) * (0 if rng.random() < 0.5 else 1)
        scene = _shot(rng, path, 144, 176)
        shot = codes(grain(rng, scene, 1.5))
        text, middle = _centred(rng, size)
        if fault and (n < 2 or rng.random() < 0.7):
            _write(shot, text, (middle, line), size)
        elif not fault and kind == 0:  # one scene all along
            shot = codes(grain(rng, shots[0] if shots else scene[:1].repeat(6, 0), 1.5))
            if not n:
                _write(shot, sign, (left, line), size)
        elif not fault and kind == 1:
            _write(shot, text, (2 if n % 2 else 174 - 2 * (88 - middle), line), size)
        elif not fault and kind == 2:
            for frame, (x, y) in zip(
                shot, 3 * _path(rng, 6) + 3 * np.arange(6)[:, None], strict=True
            ):
                _write(frame[None], text, (middle - int(x), line - int(y)), size)
        shots.append(shot)
    return find_subtitles([find_lines(shot) for shot in shots])[0] is not None
