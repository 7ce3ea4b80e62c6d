"""The table of peers: every row is scored on the same samples, in the same place, and nothing is done twice."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from bsrn import BSRN, load_bsrn
from peer_methods import Case, Method, filtered, network, own
from peers import cells, methods, prepare, report, score, shift_of

from restore import planes
from restore.evaluate.imresize import imresize, luma, to_uint8
from restore.evaluate.score import from_file
from restore.evaluate.subjects import ffmpeg_lanczos, find_subject, restored
from restore.metrics.fidelity import psnr
from restore.nets.files import load_model
from restore.train.codecs import Step, encode


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine frames of 320x288: larger than the window."""
    rng = np.random.default_rng(3)
    noise = cv2.GaussianBlur(rng.normal(0, 300, (288, 340)), (0, 0), 2.0)
    wide = np.clip(noise + 120, 16, 235).astype(np.uint8)
    frames = np.stack([wide[:, t : t + 320] for t in range(9)])
    path = tmp_path_factory.mktemp("clips") / "noise.mkv"
    encode(frames, Step("ffv1"), path)
    return path


@pytest.fixture(scope="module")
def case(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return prepare(clip, "mpeg1_600", tmp_path_factory.mktemp("work")).case


def double(luma: Tensor) -> Tensor:
    return planes.resample(luma, (2 * luma.shape[-2], 2 * luma.shape[-1]))


def window_of(case: Case, large: Tensor) -> Tensor:
    top, left, height, width = (2 * n for n in case.window)
    return large[..., top : top + height, left : left + width]


def whole(case: Case) -> Tensor:
    nominal = planes.to_nominal(case.clip.planes[0], 8, False, False)
    return planes.to_codes(double(nominal), 8, False, False)


def test_scored_are_three_frames_of_the_middle_on_the_codecs_grid(case: Case) -> None:
    assert case.frames == range(3, 6)
    assert [f.index for f in case.clip.frames] == [3, 4, 5]
    assert case.window == (8, 16, 128, 128)
    assert all(q is not None for q in case.clip.quant)


@pytest.mark.parametrize("lost", [0, 6])
def test_a_network_sees_its_window_with_what_is_around_it(case: Case, lost: int) -> None:
    """Those without padding, too, which give a smaller picture than they take."""

    def enlarger(luma: Tensor) -> Tensor:
        inner = slice(lost, -lost or None)
        return double(luma)[..., inner, inner]

    found = network("n", b"", enlarger).run(case)
    assert torch.equal(found, window_of(case, whole(case)))


def test_a_model_of_ours_is_run_as_the_stage_runs_it(case: Case) -> None:
    found = own("film_x2_fast").run(case)
    net, _ = load_model("film_x2_fast")
    nominal = planes.to_nominal(case.clip.planes[0], 8, False, False)
    with torch.inference_mode():
        wanted = window_of(case, double(nominal) + net(nominal))
    error = found.float() - planes.to_codes(wanted, 8, False, False).float()
    assert error.abs().max() <= 1
    assert psnr(found, window_of(case, whole(case))) < 60, "and it does something"


def test_a_model_that_asks_what_was_changed_is_told_nothing_was(case: Case) -> None:
    alone = own("film_x2").run(case)
    assert psnr(alone, window_of(case, whole(case))) > 30


def test_a_pipeline_is_given_the_frames_it_looks_at(case: Case) -> None:
    found = own("bw_film_x2").run(case)
    film = restored(from_file(case.file), find_subject("bw_film_x2").spec, torch.device("cpu"), 1)
    whole_film = film[case.frames.start : case.frames.stop]
    assert torch.equal(found, window_of(case, whole_film))


def test_filters_give_the_same_frames(case: Case) -> None:
    found = filtered("l", "scale=2*iw:2*ih:flags=lanczos+accurate_rnd+full_chroma_int").run(case)
    assert torch.equal(found, window_of(case, ffmpeg_lanczos(case.clip.planes[0], 2)))


def test_a_filter_that_does_not_enlarge_is_told(case: Case) -> None:
    with pytest.raises(SystemExit, match=r"small, first.mpg: expected 6 frames of 320x288, got"):
        filtered("small", "null").run(case)


@pytest.mark.parametrize("moved", [(0.0, 0.0), (0.5, 0.5), (-0.5, 0.0), (1.3, -0.7)])
def test_a_shift_is_found_to_a_part_of_a_sample(
    moved: tuple[float, float], clip: Path, tmp_path: Path
) -> None:
    scene = prepare(clip, "mpeg1_600", tmp_path)
    size = (scene.truth.shape[-2], scene.truth.shape[-1])
    back = (-moved[0], -moved[1])
    shifted = planes.resample(scene.lanczos.float(), size, scale=(1.0, 1.0), shift=back)
    found = shift_of(shifted, scene.truth)
    assert found == pytest.approx(moved, abs=0.05)
    values = score(shifted.round().clamp(0, 255).to(torch.uint8), scene.truth, found)
    # Moved back before it is scored: 0.3 dB is what two more interpolations cost.
    assert values["psnr"] == pytest.approx(psnr(scene.lanczos, scene.truth), abs=0.3)


def test_cells_are_kept_and_made_again_when_a_method_changes(clip: Path, tmp_path: Path) -> None:
    runs: list[str] = []

    def method(name: str, fingerprint: str) -> Method:
        def run(case: Case) -> Tensor:
            runs.append(fingerprint)
            return window_of(case, whole(case))

        return Method(name, fingerprint, run)

    rows = [Method("Lanczos", "lanczos", lambda _: torch.empty(0)), method("other", "1")]
    first = list(cells(rows, [clip], ["mpeg1_600", "mpeg1_350"], tmp_path))
    assert runs == ["1", "1"]
    assert list(cells(rows, [clip], ["mpeg1_600", "mpeg1_350"], tmp_path)) == first
    assert runs == ["1", "1"]
    rows[1] = method("other", "2")
    found = list(cells(rows, [clip], ["mpeg1_600"], tmp_path))
    assert runs == ["1", "1", "2"]
    # Our Lanczos against the better of two.
    assert found[1].values["psnr"] <= found[0].values["psnr"]


def test_what_the_codec_moves_stays_what_a_method_moves_is_moved_back(
    clip: Path, tmp_path: Path
) -> None:
    def beside(by: float) -> Method:
        def run(case: Case) -> Tensor:
            large = whole(case).float()
            size = (large.shape[-2], large.shape[-1])
            moved = planes.resample(large, size, scale=(1.0, 1.0), shift=(-by, -by))
            return window_of(case, moved.round().clamp(0, 255).to(torch.uint8))

        return Method(f"by {by}", f"by {by}", run)

    base = Method("Lanczos", "lanczos", lambda _: torch.empty(0))
    exact = list(cells([base, beside(0.5)], [clip], ["mpeg1_600"], tmp_path))
    assert exact[0].shift == (0, 0)
    assert exact[1].shift == pytest.approx((0.5, 0.5), abs=0.06)
    assert exact[1].values["psnr"] == pytest.approx(exact[0].values["psnr"], abs=0.3)
    # Where all lie half a sample beside the truth, none is moved.
    alike = list(cells([beside(0.5), beside(0.55)], [clip], ["mpeg1_600"], tmp_path))
    assert [c.shift for c in alike] == [(0, 0), pytest.approx((0.05, 0.05), abs=0.04)]
    assert max(c.values["psnr"] for c in alike) < exact[1].values["psnr"] - 1


def test_the_table_holds_gains_and_what_is_missing(clip: Path, tmp_path: Path) -> None:
    options = argparse.Namespace(models=["film_x2_fast"], wheels=tmp_path, weights=tmp_path)
    rows, missing = methods(options)
    assert [m.name for m in rows][:2] == ["film_x2_fast", "deblock, Lanczos"]
    assert f"VDSR is missing: no {tmp_path / 'vdsr_x2_y_mit.npz'}." in missing
    assert len(missing) == 5
    base = Method("Lanczos", "lanczos", lambda _: torch.empty(0))
    found = list(cells([base, rows[0]], [clip], ["mpeg1_600"], tmp_path))
    gain = found[1].values["psnr"] - found[0].values["psnr"]
    text = report(found, missing, "command")
    assert f"| film_x2_fast | {gain:+.2f} | {gain:+.2f} | {gain:+.2f} (noise, mpeg1_600) |" in text
    assert missing[0] in text
    moved = replace(found[1], shift=(0.5, 0.5))
    assert "(moved back)" not in text
    assert "+0.50, +0.50 (moved back)" in report([found[0], moved], [], "command")
    json.dumps([vars(cell) for cell in found])


def test_bsrn_is_the_published_one() -> None:
    assert sum(p.numel() for p in BSRN().parameters()) == 331_628


def test_bsrn_with_its_weights(real: Callable[[str], Path]) -> None:
    net = load_bsrn(real("weights/bsrn_x2_rgb_mit.pth"))
    image = cv2.imread(str(real("images/Set5/img_003.png")))[:160, :160, ::-1]
    low = to_uint8(imresize(image.astype(np.float64), Fraction(1, 2)))
    with torch.inference_mode():
        made = net(torch.from_numpy(low.astype(np.float32) / 255).permute(2, 0, 1)[None])
    found = to_uint8(made[0].permute(1, 2, 0).double().numpy() * 255)
    plain = to_uint8(imresize(low.astype(np.float64), 2))
    before, after = (
        float(np.mean((luma(x) - luma(image))[2:-2, 2:-2] ** 2)) for x in (plain, found)
    )
    # Of the whole picture 8.1 dB over bicubic here; 38.10 dB on Set5 are published.
    assert 10 * np.log10(before / after) > 6
