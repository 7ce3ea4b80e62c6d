from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from av.sidedata.encparams import VideoEncParams
from media_clips import make_clip

from restore.io.decode import decode
from restore.io.probe import InputOptions, probe
from restore.io.quantiser import macroblocks, steps
from restore.video import FrameBatch


def coded(path: Path, *encoder: str) -> FrameBatch:
    clip = make_clip(path, *encoder, size="64x48", seconds=0.32)
    return FrameBatch.cat(list(decode(probe(clip, InputOptions()), quantisers=True)))


LINEAR = [
    ("mpeg1video", "clip.mpg"),
    ("mpeg2video", "clip.mpg"),
    ("mpeg4", "clip.avi"),
    ("flv", "clip.flv"),
    ("msmpeg4v2", "clip.avi"),
    ("msmpeg4", "clip.avi"),
    ("wmv1", "clip.avi"),
    ("wmv2", "clip.avi"),
    ("rv10", "clip.rm"),
    ("rv20", "clip.rm"),
]


@pytest.mark.parametrize("scale", [3, 12, 31])
@pytest.mark.parametrize(("encoder", "name"), LINEAR)
def test_step_is_twice_the_scale(tmp_path: Path, encoder: str, name: str, scale: int) -> None:
    frames = coded(tmp_path / name, "-c:v", encoder, "-qscale:v", str(scale), "-g", "4")
    assert len(frames.quant) == len(frames)
    # FFmpeg exports none for the frame that flushing MPEG-1 and MPEG-2 gives.
    for found in frames.quant[:-1] if encoder.endswith("video") else frames.quant:
        assert found is not None
        assert found.cell == 16
        assert found.steps.shape == (3, 4)
        assert found.steps.dtype == torch.float32
        assert torch.all(found.steps == 2 * scale)


@pytest.mark.parametrize(
    ("encoder", "name"), [("mpeg1video", "a.mpg"), ("libx264", "a.mp4"), ("rv20", "a.rm")]
)
def test_blocks_are_read_as_pyav_reads_them(tmp_path: Path, encoder: str, name: str) -> None:
    """With rates so low that the quantiser changes within a frame; a width that 16 does not divide."""
    clip = make_clip(tmp_path / name, "-c:v", encoder, "-b:v", "60k", size="136x72", seconds=1)
    kinds = set()
    with av.open(clip) as container:
        container.streams.video[0].codec_context.options = {"export_side_data": "venc_params"}
        for frame in container.decode(video=0):
            for data in frame.side_data:
                if isinstance(data, VideoEncParams):
                    found = macroblocks(data, frame.height, frame.width)
                    assert found is not None
                    assert np.array_equal(found, data.qp_map())
                    kinds |= set(found.flat)
                    assert macroblocks(data, frame.height + 16, frame.width) is None
    assert len(kinds) > 1


def test_mpeg2_scale_that_is_not_linear(tmp_path: Path) -> None:
    """Code 20 of the second table of ISO 13818-2 (7.4.2.2) is a scale of 40."""
    options = ("-c:v", "mpeg2video", "-non_linear_quant", "1", "-qmax", "28", "-qscale:v", "20")
    frames = coded(tmp_path / "clip.mpg", *options)
    assert {float(q.steps.max()) for q in frames.quant if q is not None} == {40.0}


@pytest.mark.parametrize("scale", [8, 12])
def test_the_step_is_what_the_picture_shows(tmp_path: Path, scale: int) -> None:
    """Coefficients of a decoded H.263 key frame lie at odd multiples of half the step (less one)."""
    frames = coded(tmp_path / "clip.flv", "-c:v", "flv", "-qscale:v", str(scale), "-g", "1")
    luma = frames.planes[0][0, 0].numpy().astype(np.float64)
    blocks = luma.reshape(6, 8, 8, 8).transpose(0, 2, 1, 3).reshape(-1, 8, 8)
    whole = [b for b in blocks if b.min() > 0 and b.max() < 255]  # clipping moves coefficients
    found = np.abs(np.stack([cv2.dct(b) for b in whole]).reshape(-1, 64)[:, 1:])
    quant = frames.quant[0]
    assert quant is not None
    step = float(quant.steps[0, 0])
    levels = (found[found > step / 2] + 1) / step - 0.5
    assert len(levels) > 100
    assert np.mean(np.abs(levels - levels.round()) < 0.1) > 0.9


@pytest.mark.parametrize(("qp", "step"), [(10, 2.0), (22, 8.0), (28, 16.0), (33, 28.0)])
def test_h264_step(tmp_path: Path, qp: int, step: float) -> None:
    params = f"qp={qp}:ipratio=1:pbratio=1"
    frames = coded(tmp_path / "clip.mp4", "-c:v", "libx264", "-x264-params", params)
    assert {float(q.steps.max()) for q in frames.quant if q is not None} == {step}


def test_h264_step_of_ten_bits_is_in_codes_of_eight(tmp_path: Path) -> None:
    params = "qp=34:ipratio=1:pbratio=1"
    options = ("-c:v", "libx264", "-x264-params", params, "-pix_fmt", "yuv420p10le")
    frames = coded(tmp_path / "clip.mp4", *options)
    assert {float(q.steps.max()) for q in frames.quant if q is not None} == {8.0}


def test_realvideo_steps_double_every_six() -> None:
    index = np.arange(32, dtype=np.int32)
    found = steps("rv40", 2 * index)
    assert found is not None
    assert np.all(np.diff(found) > 0)
    assert found[[0, 10, 17]] == pytest.approx([2.48, 7.92, 17.82], abs=0.01)
    assert np.allclose(found[6:24] / found[:18], 2.0, rtol=0.04)


def test_codecs_without_a_map_have_none(tmp_path: Path) -> None:
    frames = coded(tmp_path / "clip.nut", "-c:v", "ffv1")
    assert frames.quant == (None,) * len(frames)
    assert steps("vp8", np.zeros(1, np.int32)) is None


def test_maps_are_made_only_where_asked(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mpg", "-c:v", "mpeg1video", seconds=0.2)
    assert next(decode(probe(clip, InputOptions()))).quant == ()
