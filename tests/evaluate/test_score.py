"""Scoring from end to end on sets made here; what is wrong is said before the work."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import cv2
import ffmpeg
import imageio_ffmpeg
import numpy as np
import pytest
import torch

from restore.errors import DeviceError, RestoreError
from restore.evaluate.measures import Aids, Sight, as_grey, measure
from restore.evaluate.recipes import RECIPES, through_codecs
from restore.evaluate.report import (
    ALL,
    check_target,
    document,
    gain,
    groups,
    measured,
    values,
    write_document,
)
from restore.evaluate.score import Job, clean_model, evaluate, registered
from restore.evaluate.sets import read_clip, read_image
from restore.metrics.niqe import niqe
from restore.metrics.vmaf import has_vmaf
from restore.nets.files import ModelCard, save_model
from restore.nets.int8 import WORST_LOSS
from restore.nets.plain import PlainSR
from restore.nets.squeezenet import SqueezeFeatures


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one clip of 6 frames, 112x100: crops to 96x96."""
    folder = tmp_path_factory.mktemp("clips")
    source = ffmpeg.input("testsrc2=size=112x100:rate=25:duration=0.24", f="lavfi")
    path = str(folder / "pattern.mkv")
    source.output(path, vcodec="ffv1", pix_fmt="yuv420p").run(
        cmd=imageio_ffmpeg.get_ffmpeg_exe(), quiet=True
    )
    return folder


def pipeline(folder: Path, text: str) -> str:
    path = folder / "own.toml"
    path.write_text(text)
    return str(path)


def test_images_are_cropped_and_scored_beside_bicubic_and_lanczos(images: Path) -> None:
    result = evaluate(Job(["lanczos_x2", "film_x2_fast"], [images]))
    assert result.notes == ("pair colour.png: cropped from 73x61 to 72x60",)
    methods = ["bicubic", "lanczos", "lanczos_x2", "film_x2_fast"]
    assert [(s.item, s.method) for s in result.scores] == [
        (item, method) for item in ("colour", "grey") for method in methods
    ]
    by = {(s.item, s.method): s.measures for s in result.scores}
    for item in ("colour", "grey"):
        # The pipeline's only stage is our Lanczos: the same picture on another way.
        assert by[item, "lanczos_x2"] == pytest.approx(by[item, "lanczos"], abs=0.02)
        assert by[item, "film_x2_fast"] != by[item, "lanczos"]
        assert 30 < by[item, "bicubic"]["psnr"] < 70


def test_a_chain_that_changes_nothing_gains_nothing(images: Path, tmp_path: Path) -> None:
    chain = pipeline(tmp_path, '[[stage]]\nkind = "upscale"\nfactor = 1\n')
    result = evaluate(Job([chain], [images], recipes=["jpeg_10", "jpeg_40"]))
    assert result.baselines == ("input",)
    for group in groups(result):
        assert measured(result, group) == ["psnr", "ssim", "psnr_b"]
        for name in measured(result, group):
            assert gain(result, group, "own", "input", name).mean.value == 0
    psnr = {s.recipe: s.measures["psnr"] for s in result.scores if s.item == "grey"}
    assert psnr["jpeg_40"] > psnr["jpeg_10"] + 1
    bits = {s.recipe: s.bits_per_pixel for s in result.scores}
    assert (bits["jpeg_40"] or 0) > (bits["jpeg_10"] or 0) > 0


def test_a_network_of_scale_1_is_scored_over_its_input(
    images: Path, clips: Path, tmp_path: Path
) -> None:
    net = PlainSR(4, 1, 1)
    card = ModelCard(
        name="tiny", architecture="plain", channels=4, blocks=1, scale=1, plane="Y", parameters=1, sha256="0" * 64,
        data="none", recipe="none", command="none", iterations=0, licence="Apache-2.0", weak_at="all",
    )  # fmt: skip
    with torch.no_grad():
        net.tail.weight.zero_()
        net.tail.bias.fill_(2 / 219)
    save_model(net, card, tmp_path)
    model = str(tmp_path / "tiny.safetensors")
    result = evaluate(Job([model], [images], ["jpeg_10"], ["psnr", "psnr_b"]))
    assert [(s.item, s.method) for s in result.scores] == [
        (item, method) for item in ("colour", "grey") for method in ("input", "tiny")
    ]
    # It makes everything two codes brighter, which costs what it costs.
    for before, after in zip(result.scores[::2], result.scores[1::2], strict=True):
        assert after.measures["psnr"] < before.measures["psnr"]
    result = evaluate(Job([model], [clips], ["mpeg1_350"], ["psnr"], frames=3))
    found = gain(result, groups(result)[0], "tiny", "input", "psnr")
    assert found.mean.value < 0
    assert found.worst_item == "pattern"


def test_frames_at_the_beginning_may_be_left_out(clips: Path) -> None:
    def psnr(frames: int, skip: int) -> float:
        job = Job(["lanczos_x2"], [clips], ["bicubic"], ["psnr"], frames=frames, skip=skip)
        result = evaluate(job)
        assert {s.frames for s in result.scores} == {frames - skip}
        return next(s.measures["psnr"] for s in result.scores if s.method == "lanczos")

    assert psnr(5, 0) == pytest.approx((2 * psnr(2, 0) + 3 * psnr(5, 2)) / 5, abs=1e-6)
    with pytest.raises(RestoreError, match="--skip 6: expected less than the 6 frames"):
        psnr(6, 6)


def test_clips_go_through_codecs(clips: Path) -> None:
    job = Job(["film_x2_fast"], [clips], ["near_clean", "mpeg1_350"], ["psnr"], frames=4)
    result = evaluate(job)
    assert result.notes == (f"{clips.name} pattern.mkv: cropped from 112x100 to 96x96",)
    assert {s.frames for s in result.scores} == {4}
    psnr = {(s.recipe, s.method): s.measures["psnr"] for s in result.scores}
    assert psnr["near_clean", "bicubic"] > psnr["mpeg1_350", "bicubic"]
    group = (clips.name, ALL)
    assert groups(result)[-1] == group
    both = [psnr[r, "film_x2_fast"] for r in ("near_clean", "mpeg1_350")]
    assert values(result, group, "film_x2_fast", "psnr") == {
        "pattern": pytest.approx(sum(both) / 2)
    }


def test_clips_are_seen_in_motion(clips: Path) -> None:
    result = evaluate(Job(["film_x2_fast"], [clips], ["mpeg1_350"], frames=4))
    by = {s.method: s.measures for s in result.scores}
    wanted = {"psnr", "ssim", "psnr_b", "ewarp", "tof", "flicker"}
    assert set(by["bicubic"]) == wanted | ({"vmaf", "vmaf_neg"} if has_vmaf() else set())
    assert by["bicubic"] != by["film_x2_fast"]
    still = evaluate(Job(["film_x2_fast"], [clips], ["mpeg1_350"], ["psnr", "tof"], frames=1))
    assert set(still.scores[0].measures) == {"psnr"}


def test_niqe_compares_with_the_clean_images_given(tmp_path: Path) -> None:
    """Clean images are nearer to clean images than what bicubic leaves of them."""
    rng = np.random.default_rng(0)
    for folder, count in (("clean", 8), ("test", 1)):
        (tmp_path / folder).mkdir()
        for number in range(count):
            noise = cv2.GaussianBlur(rng.normal(0, 60, (384, 384)), (0, 0), 0.7)
            cv2.imwrite(str(tmp_path / folder / f"{number}.png"), np.clip(128 + noise, 0, 255))
    job = Job(["lanczos_x2"], [tmp_path / "test"], measures=["niqe"], pristine=tmp_path / "clean")
    result = evaluate(job)
    model = clean_model(tmp_path / "clean", lambda _: None)
    truth = read_image(tmp_path / "test" / "0.png", 2).codes[0].astype(float)
    (found,) = (s.measures["niqe"] for s in result.scores if (s.item, s.method) == ("0", "bicubic"))
    assert found > niqe(truth, model) + 1


def test_the_squeeze_distance_grows_with_what_is_lost() -> None:
    """Weights drawn at random see differences, too. 0 for equal pictures; the border does not count."""
    torch.manual_seed(0)
    aids = Aids(backbone=SqueezeFeatures().eval())
    truth = torch.randint(16, 236, (1, 1, 64, 80), generator=torch.Generator().manual_seed(0))
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(1))
    edge = truth.clone()
    edge[..., :2, :] = 0
    found = [
        measure(Sight(f, truth, 2, 2), ["squeeze"], aids, still=True)["squeeze"]
        for f in (truth, edge, truth + 10 * noise, truth + 40 * noise)
    ]
    assert found[0] == found[1] == 0
    assert 0 < found[2] < found[3]


def test_the_squeeze_distance_of_real_weights(real: Callable[[str], Path]) -> None:
    """Lanczos looks more like the truth than bicubic, to a network that knows pictures."""
    backbone = real("weights/squeezenet1_1_imagenet_bsd.safetensors")
    sets = [real("images/Set5")]
    result = evaluate(Job(["lanczos_x2"], sets, measures=["squeeze"], backbone=backbone))
    found = gain(result, ("Set5", "bicubic"), "lanczos_x2", "bicubic", "squeeze")
    assert found.mean.value < 0


def test_limited_range_is_stretched_to_grey() -> None:
    assert as_grey(np.array([16.0, 235.0])).tolist() == [0, 255]


def test_twice_the_same(clips: Path) -> None:
    job = Job(["film_x2_fast"], [clips], ["vcd"], ["psnr"], frames=3)
    assert evaluate(job).scores == evaluate(job).scores


def test_the_record_holds_every_score_and_the_paired_gains(images: Path, tmp_path: Path) -> None:
    result = evaluate(Job(["film_x2_fast"], [images], measures=["psnr"]))
    path = tmp_path / "scores.json"
    write_document(result, path)
    found = json.loads(path.read_text())
    assert found == json.loads(json.dumps(document(result)))
    scores = {(s["item"], s["method"]): s["measures"]["psnr"] for s in found["scores"]}
    (row,) = (g for g in found["gains"] if g["over"] == "lanczos")
    each = [scores[i, "film_x2_fast"] - scores[i, "lanczos"] for i in ("colour", "grey")]
    assert row["value"] == pytest.approx(sum(each) / 2)
    # Of two items: the deviation is |a - b| / sqrt(2), the interval 12.7062 / sqrt(2) of it.
    assert row["high"] - row["value"] == pytest.approx(12.7062 * abs(each[0] - each[1]) / 2)
    assert row["worst"] == pytest.approx(min(each))
    assert [p.name for p in tmp_path.glob("*.json*")] == ["scores.json"]
    with pytest.raises(RestoreError, match="--overwrite"):
        check_target(path, overwrite=False)
    with pytest.raises(RestoreError, match="does not exist"):
        check_target(tmp_path / "no" / "a.json", overwrite=False)


def test_rgb_clips_are_read_at_their_own_depth(tmp_path: Path) -> None:
    """R, G, B are decoded as Y, Cb, Cr of 16 bits: 8-bit codes come out of it, not their saturation."""
    path = tmp_path / "grey50.mkv"
    ffmpeg.input("color=0x808080:size=64x64:rate=25:duration=0.08", f="lavfi").output(
        str(path), vcodec="ffv1", pix_fmt="bgr0"
    ).run(cmd=imageio_ffmpeg.get_ffmpeg_exe(), quiet=True)
    codes = read_clip(path, 2, 16).codes
    assert codes.shape == (2, 64, 64)
    assert np.unique(codes).tolist() == [round(16 + 219 * 128 / 255)]


def test_a_grey_image_keeps_its_codes(images: Path) -> None:
    truth = read_image(images / "grey.png", 2)
    assert truth.full_range
    assert np.array_equal(
        truth.codes[0], cv2.imread(str(images / "grey.png"), cv2.IMREAD_GRAYSCALE)
    )


def test_a_moved_picture_is_noticed() -> None:
    clean = torch.randint(0, 256, (1, 1, 40, 40), generator=torch.Generator().manual_seed(0))
    assert registered(clean, clean)
    assert not registered(clean.roll(1, 3), clean)


def mistakes(folder: Path, images: Path) -> dict[str, tuple[Job, str]]:
    empty, mixed, deep = folder / "empty", folder / "mixed", folder / "fine"
    for path in (empty, mixed, folder / "parent" / "Set5", deep):
        path.mkdir(parents=True)
    (mixed / "a.png").touch()
    (mixed / "b.mkv").touch()
    cv2.imwrite(str(deep / "deep.png"), np.zeros((64, 64), np.uint16))
    text = folder / "text"
    text.mkdir()
    (text / "a.png").write_text("no image")
    small = folder / "small"
    small.mkdir()
    cv2.imwrite(str(small / "s.png"), np.zeros((20, 90), np.uint8))
    net = ["film_x2_fast"]
    same = pipeline(folder, '[[stage]]\nkind = "deblock"\n')
    return {
        "no set": (
            Job(net, [folder / "none"]),
            "expected a folder of images or clips, found nothing",
        ),
        "no images": (Job(net, [empty]), "found 0 other files"),
        "parent": (Job(net, [folder / "parent"]), "try one of its folders: Set5"),
        "mixed": (Job(net, [mixed]), "found 1 images and 1 clips"),
        "deep": (Job(net, [deep]), "expected 8 bits per sample, found 16"),
        "no image": (Job(net, [text]), "cannot be decoded"),
        "small": (Job(net, [small]), "at least 48x48 samples after cropping, found 90x20"),
        "subject": (Job(["film_x3"], [images]), "expected a network or a pipeline, found neither"),
        "recipe": (Job(net, [images], ["bicubik"]), "did you mean 'bicubic'"),
        "for clips": (
            Job(net, [images], ["vcd"]),
            "none is for images; these are: bicubic, jpeg_10",
        ),
        "measure": (Job(net, [images], measures=["sim"]), "did you mean 'ssim'"),
        "scales": (Job([*net, same], [images]), "of one scale, found film_x2_fast x2, own x1"),
        "pristine": (
            Job(net, [images], measures=["niqe"]),
            "--measure niqe: needs a folder of clean",
        ),
        "backbone": (
            Job(net, [images], measures=["squeeze"]),
            "SqueezeNet 1.1 weights: --backbone",
        ),
        "no backbone": (
            Job(net, [images], backbone=folder / "none.safetensors"),
            "no such backbone",
        ),
        "no pristine": (Job(net, [images], pristine=images), "108 sharp patches of 96x96, found 0"),
        "nothing": (Job([same], [images], ["bicubic"]), "changes nothing at scale 1"),
        "twice": (Job([*net, *net], [images]), "two rows of the table"),
    }


NAMES = (
    *("no set", "no images", "parent", "mixed", "deep", "no image", "small", "subject", "recipe"),
    *(
        "for clips",
        "measure",
        "scales",
        "pristine",
        "no pristine",
        "backbone",
        "no backbone",
        "nothing",
        "twice",
    ),
)


@pytest.mark.parametrize("name", NAMES)
def test_a_mistake_is_named_with_what_to_do(name: str, tmp_path: Path, images: Path) -> None:
    job, expected = mistakes(tmp_path, images)[name]
    with pytest.raises(RestoreError) as caught:
        evaluate(job)
    assert expected in str(caught.value)


def test_classic5_through_jpeg_reads_what_is_published(
    tmp_path: Path, real: Callable[[str], Path]
) -> None:
    """Quality 10: 27.82 dB, PSNR-B 25.21 (Dong et al. 2015, table of Classic5)."""
    chain = pipeline(tmp_path, '[[stage]]\nkind = "upscale"\nfactor = 1\n')
    job = Job([chain], [real("images/Classic5")], ["jpeg_10"], ["psnr", "psnr_b"])
    result = evaluate(job)
    for name, published in (("psnr", 27.82), ("psnr_b", 25.21)):
        found = values(result, ("Classic5", "jpeg_10"), "input", name)
        assert math.isclose(sum(found.values()) / 5, published, abs_tol=0.02)


def test_frames_too_large_for_realmedia_are_coded_coarser(tmp_path: Path) -> None:
    """RealMedia holds frames of up to 64 kB: the first quantisers tried for a large picture of noise miss that."""
    noise = np.random.default_rng(3).integers(0, 255, (2, 384, 512), np.uint8)
    path, done = through_codecs(noise, RECIPES["rv20_450"], 1, tmp_path)
    assert path.suffix == ".rm"
    assert 0 < done.bytes < 2 * 65536


def test_a_back_end_is_asked_for_by_name(images: Path) -> None:
    pytest.importorskip("openvino", reason="the openvino extra is not installed")
    kinds = ("auto", "openvino-fp32", "openvino-int8")
    found = [evaluate(Job(["film_x2_fast"], [images], measures=["psnr"], backend=k)) for k in kinds]
    usual, exact, whole = (
        [s.measures["psnr"] for s in r.scores if s.method == "film_x2_fast"] for r in found
    )
    assert whole != exact
    assert whole == pytest.approx(exact, abs=0.1)
    assert usual == pytest.approx(exact, abs=WORST_LOSS)
    assert not any("networks ran" in note for note in found[0].notes)
    assert "networks ran by openvino-int8" in found[2].notes
    with pytest.raises(DeviceError, match=r"--backend tpu: cannot run film_x2_fast \d+x\d+ on"):
        evaluate(Job(["film_x2_fast"], [images], backend="tpu"))
