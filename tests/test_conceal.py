"""Damaged frames: what neighbours agree on takes the place of damage, what the decoder got right stays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest
import torch

from restore.conceal import REACH, conceal
from restore.mending import Repair
from restore.video import Chroma, FrameBatch, FrameInfo, QuantMap, VideoFormat

FORMAT = VideoFormat(96, 80, Chroma.C420, 8, Fraction(1, 1000))
PATCH = (slice(16, 48), slice(32, 64))
"""Where a test's damage is: four macroblocks."""


def scene(
    count: int, seed: int = 0, chroma: Chroma | None = Chroma.C420, depth: int = 8
) -> FrameBatch:
    """A texture that moves a sample and a half a frame; all frames are P."""
    fmt = replace(FORMAT, chroma=chroma, depth=depth)
    generator = np.random.default_rng(seed)
    planes = []
    for number, (h, w) in enumerate(fmt.plane_shapes()):
        noise = generator.normal(0, 1, (h, w + 80)).astype(np.float32)
        wide = 110 + 500 * cv2.GaussianBlur(noise, (0, 0), 3) / (1 + number)
        step = 1.5 * w / 96
        frames = [
            cv2.warpAffine(
                wide, np.float32([[1, 0, -step * n], [0, 1, 0]]), (w, h), flags=cv2.INTER_CUBIC
            )
            for n in range(count)
        ]
        codes = np.clip(np.stack(frames)[:, None], 16, 235) * (1 << (depth - 8))
        planes.append(torch.from_numpy(codes.astype(np.uint8 if depth == 8 else np.uint16)))
    frames = tuple(FrameInfo(n, 40 * n, 40, picture_type="P") for n in range(count))
    return FrameBatch(tuple(planes), frames, fmt)


def with_types(video: FrameBatch, types: str) -> FrameBatch:
    """A type for each frame; lower case: marked as damaged."""
    frames = tuple(
        replace(f, picture_type=t.upper(), damaged=t.islower())
        for f, t in zip(video.frames, types, strict=True)
    )
    return replace(video, frames=frames)


def broken(video: FrameBatch, frames: Sequence[int], whole: bool = False) -> FrameBatch:
    """A copy with a grey patch, or all grey, in some frames."""
    planes = [p.clone() for p in video.planes]
    for n in frames:
        for number, plane in enumerate(planes):
            rows, columns = (slice(s.start >> (number > 0), s.stop >> (number > 0)) for s in PATCH)
            area = (slice(None), slice(None)) if whole else (rows, columns)
            plane[n, 0][area] = 240 << (video.format.depth - 8)
    return replace(video, planes=tuple(planes))


def cut(whole: FrameBatch, size: int) -> Iterator[FrameBatch]:
    return (whole[i : i + size] for i in range(0, len(whole), size))


def repaired(
    video: FrameBatch, refused: Sequence[int] = (), size: int = 4
) -> tuple[FrameBatch, list[Repair]]:
    log: list[Repair] = []
    return FrameBatch.cat(list(conceal(cut(video, size), refused, log))), log


def psnr(ours: FrameBatch, truth: FrameBatch, n: int) -> float:
    """Of the luma, in dB; 99 for the same codes."""
    scale = 1 << (truth.format.depth - 8)
    error = (ours.planes[0][n].double() - truth.planes[0][n].double()) / scale
    return min(99.0, float(10 * torch.log10(255**2 / error.square().mean().clamp_min(1e-9))))


def test_what_is_whole_passes_as_it_is() -> None:
    batches = list(cut(with_types(scene(12), "IBBPBBPBBPBB"), 4))
    found = list(conceal(iter(batches), [45, 90]))
    assert [id(b) for b in found] == [id(b) for b in batches]


@pytest.mark.parametrize("size", [1, 3, 9])
@pytest.mark.parametrize(("chroma", "depth"), [(Chroma.C420, 8), (None, 8), (Chroma.C420, 10)])
def test_a_broken_b_frame_is_mended_where_it_is_broken(
    size: int, chroma: Chroma | None, depth: int
) -> None:
    truth = scene(9, chroma=chroma, depth=depth)
    video = with_types(broken(truth, [4]), "IBBPbBPBB")
    found, log = repaired(video, size=size)
    assert [(r.pts, r.action) for r in log] == [(160, "concealed")]
    assert 0.1 < log[0].share < 0.3
    assert psnr(found, truth, 4) > psnr(video, truth, 4) + 10
    # Far from the damage nothing changes; beside the frame neither.
    assert torch.equal(found.planes[0][4, 0, 70:], video.planes[0][4, 0, 70:])
    others = [n for n in range(9) if n != 4]
    assert all(
        torch.equal(a[others], b[others]) for a, b in zip(found.planes, video.planes, strict=True)
    )
    assert [f.concealed for f in found.frames] == [n == 4 for n in range(9)]
    assert [replace(f, concealed=False) for f in found.frames] == list(video.frames)


def test_what_passes_while_the_ends_do_not_see_it_stays() -> None:
    """Six frames from mark to I frame; a bright body walks in and out between them. Wiping it out would agree with both
    ends. Garbage of the same size and brightness in one frame alone is damage."""
    still = scene(12)
    truth = replace(still, planes=tuple(p[:1].repeat(12, 1, 1, 1) for p in still.planes))
    for n in range(3, 10):
        truth.planes[0][n, 0, 20:60, 4 * n : 4 * n + 20] = 220
    video = with_types(truth, "IPPPPpPPPPPI")
    walking, _ = repaired(video)
    assert min(psnr(walking, truth, n) for n in range(12)) > 40
    empty = replace(still, planes=tuple(p[:1].repeat(12, 1, 1, 1) for p in still.planes))
    flash = replace(empty, planes=tuple(p.clone() for p in empty.planes))
    flash.planes[0][5, 0, 20:60, 24:44] = 220
    found, _ = repaired(with_types(flash, "IPPPPpPPPPPI"))
    assert psnr(found, empty, 5) > psnr(flash, empty, 5) + 10


def test_a_frame_that_only_says_it_is_damaged_is_kept() -> None:
    video = with_types(scene(9), "IPPPpPPPI")
    found, log = repaired(video)
    assert log == [Repair(160, "kept", 0.0)]
    assert found.frames == video.frames
    assert all(torch.equal(a, b) for a, b in zip(found.planes, video.planes, strict=True))


def test_damage_is_followed_to_the_next_i_frame() -> None:
    """Frames after the marked one show its damage without a mark."""
    truth = scene(9)
    video = with_types(broken(truth, [3, 4, 5]), "IPPpPPIPP")
    found, log = repaired(video)
    assert [r.pts for r in log] == [120, 160, 200]
    assert all(psnr(found, truth, n) > psnr(video, truth, n) + 6 for n in (3, 4, 5))


def test_b_frames_before_a_broken_reference_are_broken_too() -> None:
    truth = scene(9)
    video = with_types(broken(truth, [2, 3, 4]), "IPBBpIPPP")
    found, log = repaired(video, size=1)
    assert {r.pts for r in log} == {80, 120, 160}
    assert all(psnr(found, truth, n) > psnr(video, truth, n) + 6 for n in (2, 3, 4))


def test_moving_detail_far_from_good_frames_stays() -> None:
    """Without damage nothing is replaced, however long the run is and however wrong the interpolation."""
    video = with_types(scene(20), "IPpPPPPPPPPPPPPPPPPI")
    video.planes[0][9, 0, 30:34, 30:60] = 235  # a thing that only this frame has
    found, _ = repaired(video)
    assert torch.equal(found.planes[0], video.planes[0])


@pytest.mark.parametrize("grey", [True, False])
def test_at_a_cut_a_broken_frame_repeats_a_good_one(grey: bool) -> None:
    """The first frame of a new scene: if it is plausible it stays, if it is nothing it is not shown."""
    old, new = scene(4, seed=1), scene(5, seed=2)
    frames = tuple(replace(f, index=f.index + 4, pts=f.pts + 160) for f in new.frames)
    video = FrameBatch.cat([old, replace(new, frames=frames)])
    video = with_types(broken(video, [4] if grey else [], whole=True), "IPPPiIPPP")
    found, log = repaired(video)
    assert [(r.pts, r.action) for r in log] == [(160, "repeated" if grey else "kept")]
    shown = found.planes[0][4]
    assert any(torch.equal(shown, video.planes[0][n]) for n in ([3, 5] if grey else [4]))


def test_a_lost_frame_is_put_in() -> None:
    truth = with_types(scene(9), "IPPPPPPPP")
    keep = [n for n in range(9) if n != 4]
    frames = tuple(
        replace(truth.frames[n], index=i, duration=80 if n == 3 else 40) for i, n in enumerate(keep)
    )
    quant = tuple(QuantMap(torch.ones(5, 6)) for _ in keep)
    video = replace(truth, planes=tuple(p[keep] for p in truth.planes), frames=frames, quant=quant)
    found, log = repaired(video, refused=[160])
    assert log == [Repair(160, "interpolated", 1.0, True)]
    assert [(f.index, f.pts, f.duration) for f in found.frames] == [
        (n, 40 * n, 40) for n in range(9)
    ]
    assert [(f.damaged, f.concealed) for f in found.frames] == [(n == 4, n == 4) for n in range(9)]
    assert psnr(found, truth, 4) > 30
    assert [q is None for q in found.quant] == [n == 4 for n in range(9)]
    # The same hole without a refused packet is a picture that lasted longer.
    assert repaired(video)[0].frames == video.frames
    assert repaired(video, refused=[60])[0].frames == video.frames


def test_a_refused_packet_in_a_long_pause_is_one_frame_at_its_time() -> None:
    video = with_types(scene(6), "IPPPPP")
    late = tuple(replace(f, pts=f.pts + (960 if f.index > 3 else 0)) for f in video.frames)
    video = replace(video, frames=(*late[:3], replace(late[3], duration=1000), *late[4:]))
    found, log = repaired(video, refused=[600])
    assert [f.pts for f in found.frames] == [0, 40, 80, 120, 600, 1120, 1160]
    assert [f.duration for f in found.frames[3:5]] == [480, 520]
    assert [r.inserted for r in log] == [True]


def test_all_frames_come_out_whatever_is_broken() -> None:
    generator = np.random.default_rng(5)
    for _ in range(20):
        types = "".join(generator.choice(list("IPBipb"), 40))
        video = with_types(scene(40), types)
        found, log = repaired(video, size=int(generator.integers(1, 9)))
        assert [f.pts for f in found.frames] == [f.pts for f in video.frames]
        assert [f.index for f in found.frames] == list(range(40))
        assert {r.pts for r in log} >= {f.pts for f in video.frames if f.damaged}


def test_it_looks_only_so_far_ahead() -> None:
    """Damage without an I frame after it does not hold back the rest of the film."""
    video = with_types(scene(90), "I" + "p" + 88 * "P")
    taken = 0

    def pulled() -> Iterator[FrameBatch]:
        nonlocal taken
        for batch in cut(video, 3):
            taken += len(batch)
            yield batch

    done = 0
    for batch in conceal(pulled()):
        done += len(batch)
        assert taken - done <= REACH + 6
    assert done == 90
