"""The chain from clean truth to decoded input: kernels, codecs, what is drawn and recorded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from clean import moving

from restore.errors import TrainError
from restore.train.codecs import CIF_PIXELS, Step, decode, encode
from restore.train.degrade import degrade, downscale, psnr
from restore.train.plan import CATEGORIES, Plan, draw, validated
from restore.train.recipe import Degrade, Kernel

KERNELS: list[Kernel] = [
    "bicubic", "mitchell", "lanczos2", "lanczos3", "bilinear", "area", "narrow", "bell", "hermite",
    "opencv_bilinear", "opencv_bicubic",
]  # fmt: skip


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("scale", [2, 3])
def test_downscaling_is_centred_and_keeps_ramps(kernel: Kernel, scale: int) -> None:
    y, x = np.mgrid[: 12 * scale, : 15 * scale].astype(np.float32)
    low = downscale(3 * x + 2 * y + 1, scale, kernel)
    assert low.shape == (12, 15)
    # Output sample j covers inputs scale*j .. scale*j + scale-1, whose centre is (scale-1)/2 further.
    rows, columns = np.mgrid[:12, :15] * scale + (scale - 1) / 2
    inside = (slice(4, -4), slice(4, -4))
    np.testing.assert_allclose(low[inside], (3 * columns + 2 * rows + 1)[inside], atol=1e-3)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_phase_moves_the_samples_and_nothing_else(kernel: Kernel) -> None:
    y, x = np.mgrid[:40, :48].astype(np.float32)
    low = downscale(3 * x + 2 * y, 2, kernel, (0.25, -0.4))
    rows, columns = np.mgrid[:20, :24] * 2 + 0.5
    inside = (slice(4, -4), slice(4, -4))
    wanted = (3 * (columns - 0.4) + 2 * (rows + 0.25))[inside]
    # Normalised taps of a windowed kernel off centre do not quite keep a ramp: 0.05 of a sample.
    np.testing.assert_allclose(low[inside], wanted, atol=0.05 * 5)
    assert downscale(np.full((8, 8), 7, np.float32), 2, kernel, (0.5, -0.5)) == pytest.approx(7)


@pytest.mark.parametrize(
    ("kernel", "way"),
    [("opencv_bilinear", cv2.INTER_LINEAR), ("opencv_bicubic", cv2.INTER_CUBIC), ("nearest", cv2.INTER_NEAREST)],
)  # fmt: skip
def test_kernels_named_after_opencv_are_its_own(kernel: Kernel, way: int) -> None:
    frame = moving(1, 64, 80)[0].astype(np.float32)
    wanted = cv2.resize(frame, (40, 32), interpolation=way)
    np.testing.assert_allclose(downscale(frame, 2, kernel)[2:-2, 2:-2], wanted[2:-2, 2:-2], atol=1e-3)  # fmt: skip


@pytest.mark.parametrize(
    "step",
    [
        Step("mpeg1video", {"q:v": 3, "g": 15, "bf": 2}),
        Step("rv20", {"q:v": 3, "g": 100}),
        Step("rv10", {"q:v": 3}),
        Step("mpeg4", {"q:v": 3, "bf": 2}),
        Step("libx264", {"crf": 18}),
    ],
    ids=lambda s: s.codec,
)
def test_codecs_return_every_frame_in_range(step: Step, tmp_path: Path) -> None:
    luma = np.clip(moving(7, 64, 80), 16, 235)
    path = tmp_path / f"x.{step.container}"
    generation = encode(luma, step, path)
    back = decode(path, (64, 80))
    assert back.shape == luma.shape
    # Close, in order and in the same range: a range conversion or a shifted frame costs far more.
    assert [psnr(a, b) > 34 for a, b in zip(back, luma, strict=True)] == [True] * 7
    assert psnr(back[:-1], luma[1:]) < psnr(back, luma) - 6
    assert generation.bits_per_pixel == path.stat().st_size * 8 / luma.size


def test_rates_scale_with_the_picture() -> None:
    step = Step("rv20", {"b:v": 400e3, "maxrate": 600e3, "g": 90})
    quarter = step.arguments(CIF_PIXELS // 4)
    assert quarter == {"vcodec": "rv20", "f": "rm", "b:v": "100000", "maxrate": "150000", "g": "90"}


def test_a_refused_encode_says_why(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match=r"encoding with rv20: FFmpeg failed: .*multiple of 4"):
        encode(moving(5, 62, 66), Step("rv20", {"q:v": 3}), tmp_path / "x.rm")


def test_lower_rates_give_worse_pictures(tmp_path: Path) -> None:
    truth = moving(6, 128, 128).astype(np.float32)
    found = []
    for q in (2, 12):
        plan = Plan("mpeg1", "bicubic", (Step("mpeg1video", {"q:v": q}),))
        found.append(degrade(truth, plan, 2, np.random.default_rng(0), tmp_path).record)
    assert found[0]["input_psnr"] > found[1]["input_psnr"] + 2
    assert found[0]["steps"][0]["bits_per_pixel"] > found[1]["steps"][0]["bits_per_pixel"]
    assert not list(tmp_path.iterdir()), "encoded files are removed again"


def test_truth_is_untouched_by_all_but_levels(tmp_path: Path) -> None:
    clean = moving(5, 64, 64).astype(np.float32)
    plan = Plan("clean", "area", (), blur=1.0, sharpen=0.5, grain=3.0)
    pair = degrade(clean, plan, 2, np.random.default_rng(0), tmp_path)
    np.testing.assert_array_equal(pair.truth, clean.astype(np.uint8))
    assert pair.decoded.shape == (5, 32, 32)
    assert pair.stream == b""
    darker = Plan("clean", "area", (), levels=(1.0, 0.5, 0.0))
    pair = degrade(clean, darker, 2, np.random.default_rng(0), tmp_path)
    assert np.abs(pair.truth - (16 + np.clip(clean - 16, 0, 219) / 2)).max() <= 0.51


def test_draws_follow_the_shares() -> None:
    options = Degrade(clean_share=0.2, near_clean_share=0.1, second_share=0.5)
    rng = np.random.default_rng(0)
    plans = [draw(options, rng) for _ in range(600)]
    share = {c: sum(p.category == c for p in plans) / len(plans) for c in CATEGORIES}
    assert share["clean"] == pytest.approx(0.2, abs=0.05)
    assert share["near_clean"] == pytest.approx(0.1, abs=0.05)
    assert share["mpeg1"] == pytest.approx(0.7 * 0.4, abs=0.06)
    assert share["rv20"] == pytest.approx(0.7 * 0.5 * 0.76, abs=0.06)


def test_a_category_means_its_codecs() -> None:
    rng = np.random.default_rng(1)
    for _ in range(40):
        assert draw(Degrade(), rng, "clean").steps == ()
        assert [s.codec for s in draw(Degrade(), rng, "mpeg1").steps] == ["mpeg1video"]
        first, second = draw(Degrade(), rng, "rv20").steps
        assert first.codec == "mpeg1video"
        assert second.codec in ("rv10", "rv20")
        assert len(draw(Degrade(), rng, "near_clean").steps) == 1


def test_duplicated_frames_are_alike_in_truth_and_input(tmp_path: Path) -> None:
    clean = moving(12, 64, 64).astype(np.float32)
    plan = Plan("clean", "area", (), grain=3.0, duplicates=0.5)
    pair = degrade(clean, plan, 2, np.random.default_rng(0), tmp_path)
    same = [t for t in range(1, 12) if np.array_equal(pair.truth[t], pair.truth[t - 1])]
    assert 2 <= len(same) <= 9
    assert same == [t for t in range(1, 12) if np.array_equal(pair.decoded[t], pair.decoded[t - 1])]


def test_noise_reduction_removes_grain(tmp_path: Path) -> None:
    clean = np.repeat(moving(1, 64, 64).astype(np.float32), 8, 0)
    wanted = degrade(clean, Plan("clean", "area", ()), 2, np.random.default_rng(0), tmp_path)
    errors = [
        degrade(
            clean,
            Plan("clean", "area", (), grain=4.0, dnr=dnr),
            2,
            np.random.default_rng(0),
            tmp_path,
        )
        for dnr in (0.0, 4.0)
    ]
    noisy, calm = (psnr(pair.decoded[4:], wanted.decoded[4:]) for pair in errors)
    assert calm > noisy + 1.5


def test_a_resize_between_generations_keeps_the_picture_in_place(tmp_path: Path) -> None:
    clean = moving(5, 192, 192).astype(np.float32)
    steps = (Step("mpeg1video", {"q:v": 2, "g": 15}), Step("rv20", {"q:v": 2}))
    pair = degrade(
        clean, Plan("rv20", "bicubic", steps, first_size=0.8), 2, np.random.default_rng(0), tmp_path
    )
    assert [step["size"] for step in pair.record["steps"]] == [[80, 80], [96, 96]]
    assert all(step["psnr"] > 30 for step in pair.record["steps"])
    sharp = downscale(clean[0], 2, "bicubic")
    shifted = {
        d: psnr(np.roll(pair.decoded[0], d, (0, 1))[8:-8, 8:-8], np.rint(sharp)[8:-8, 8:-8])
        for d in (-1, 0, 1)
    }
    assert shifted[0] > max(shifted[-1], shifted[1]) + 2


def test_later_steps_are_drawn_when_asked_for_and_change_nothing_else() -> None:
    every = Degrade(
        duplicate_share=1,
        dnr_share=1,
        resize_share=1,
        phase_share=1,
        film_share=1,
        second_share=0.9,
    )
    for seed in range(20):
        plan = draw(every, np.random.default_rng(seed))
        plain = draw(Degrade(second_share=0.9), np.random.default_rng(seed))
        assert 0.05 <= plan.duplicates <= 0.3
        assert 1 <= plan.dnr <= 4
        assert (plan.first_size != 1) == (len(plan.steps) == 2)
        assert 0 < max(map(abs, plan.phase)) <= 0.25
        assert plan.film is not None
        assert (
            replace(plan, duplicates=0.0, dnr=0.0, first_size=1.0, phase=(0.0, 0.0), film=None)
            == plain
        )


def test_the_same_seed_draws_the_same() -> None:
    one, two = ([draw(Degrade(), np.random.default_rng(4)) for _ in range(3)] for _ in range(2))
    assert one == two


def test_a_jpeg_recipe_draws_jpegs_of_every_quality() -> None:
    options = Degrade(
        clean_share=0, near_clean_share=0, second_share=0, other_single_share=0,
        jpeg_share=1, jpeg_quality=(5, 8),
    )  # fmt: skip
    plans = [draw(options, np.random.default_rng(seed)) for seed in range(60)]
    assert {p.category for p in plans} == {"jpeg"}
    assert all(step.codec == "jpeg" for plan in plans for step in plan.steps)
    assert sorted({p.steps[0].options["quality"] for p in plans}) == [5, 6, 7, 8]
    assert validated(options) == ("jpeg",)


def test_validation_is_spread_over_what_a_recipe_is_about() -> None:
    assert validated(Degrade(clean_share=1, near_clean_share=0)) == CATEGORIES[:-1]
    assert validated(Degrade(jpeg_share=0.3)) == CATEGORIES
    assert validated(Degrade(second_share=0, other_single_share=0, jpeg_share=1)) == (
        "clean",
        "jpeg",
    )


def test_a_share_of_jpegs_leaves_the_rest_in_proportion() -> None:
    options = Degrade(clean_share=0, near_clean_share=0, second_share=0.4, jpeg_share=0.3)
    rng = np.random.default_rng(0)
    found = [draw(options, rng).category for _ in range(600)]
    assert found.count("jpeg") / 600 == pytest.approx(0.3, abs=0.05)
    assert found.count("mpeg1") / 600 == pytest.approx(0.2, abs=0.05)


def test_frames_become_jpegs_of_the_full_range(tmp_path: Path) -> None:
    """The file is the one that libjpeg makes of the stretched picture: what still images are scored on."""
    clean = moving(5, 64, 64).astype(np.float32)
    plan = Plan("jpeg", "bicubic", (Step("jpeg", {"quality": 10}),))
    pair = degrade(clean, plan, 1, np.random.default_rng(0), tmp_path)
    grey = np.clip(np.rint((clean[2] - 16) * 255 / 219), 0, 255).astype(np.uint8)
    _, file = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, 10])
    assert file.tobytes() in pair.stream
    shown = cv2.imdecode(file, cv2.IMREAD_GRAYSCALE)
    assert np.abs(pair.decoded[2] - (16 + shown * (219 / 255))).max() <= 0.5 + 1e-4
    assert pair.suffix == ".mjpeg"
    (record,) = pair.record["steps"]
    assert record["argv"] == ["-quality", "10"]
    assert record["bytes"] == len(pair.stream)
    np.testing.assert_array_equal(pair.truth, clean.astype(np.uint8))
