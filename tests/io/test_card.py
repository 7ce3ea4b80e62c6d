"""Decoding by a card: what is asked of it, what becomes of its frames, and the line where there is none.

No card has decoded anything here: one is played by FFmpeg's own decoders, whose frames are packed as a card packs them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from media_clips import flip_bytes, make_clip

from restore.errors import InputError
from restore.io import card, parts, reader
from restore.io.card import TAKEN, accelerator, choose_decoder, from_card
from restore.io.decode import DecodeLog, decode
from restore.io.join import open_source
from restore.io.pixels import rescaled
from restore.io.probe import InputOptions, probe
from restore.io.source import Source
from restore.pipeline import read_pipeline
from restore.run.job import Job, prepare
from restore.video import FrameBatch

H264 = ("-c:v", "libx264", "-bf", "2", "-g", "10")


class Played:
    """What the stand-in was asked for."""

    def __init__(self) -> None:
        self.opened: list[bool] = []
        """Of each file: whether for the card."""
        self.decodes = True
        self.packed = 0
        """Frames."""


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Played:
    """A card that decodes."""
    state = Played()

    def open_input(*files: Path, card: Any = None) -> Any:
        state.opened.append(card is not None)
        return reader.open_input(*files)

    def frames_of(container: Any, stream: Any, report: Any) -> Iterator[av.VideoFrame]:
        for frame in reader.frames_of(container, stream, report):
            name = TAKEN.get(frame.format.name) if state.opened[-1] and state.decodes else None
            state.packed += name is not None
            yield frame if name is None else rescaled(frame, format=name)

    for module in (card, parts):
        monkeypatch.setattr(module, "open_input", open_input)
        monkeypatch.setattr(module, "frames_of", frames_of)
    monkeypatch.setattr(card, "refusal", lambda _: None)
    return state


def found(path: Path) -> Source:
    return probe(path, InputOptions())


def everything(source: Source, quantisers: bool = False) -> tuple[FrameBatch, DecodeLog]:
    log = DecodeLog()
    return FrameBatch.cat(list(decode(source, quantisers=quantisers, log=log))), log


@pytest.mark.parametrize(
    ("name", "encoder", "broken"),
    [
        ("a.mkv", H264, False),
        ("b.mkv", ("-c:v", "ffv1", "-pix_fmt", "yuv420p10le"), False),
        ("c.mpg", ("-c:v", "mpeg2video", "-bf", "2"), True),
    ],
)
def test_frames_of_a_card_are_read_as_any_others(
    name: str, encoder: tuple[str, ...], broken: bool, played: Played, tmp_path: Path
) -> None:
    clip = make_clip(tmp_path / name, *encoder, size="98x74", seconds=0.8)
    if broken:
        clip = flip_bytes(clip, tmp_path / f"broken-{name}", first=3000, every=4001)
    source = found(clip)
    chosen = choose_decoder(source, "cuda", False, 1)
    assert chosen.video.card == 1
    assert chosen.notes[-1] == "decoded by CUDA device 1 (NVDEC)"
    wanted, log = everything(source)
    before = played.packed
    got, other_log = everything(chosen)
    assert played.packed - before == len(got)
    assert got.frames == wanted.frames  # times, types, damage
    assert other_log == log
    assert (log.counts.get("damaged", 0) > 0) == broken
    assert got.format == wanted.format
    assert all(torch.equal(a, b) for a, b in zip(got.planes, wanted.planes, strict=True))


def test_quantisers_are_read_on_the_cpu(played: Played, tmp_path: Path) -> None:
    source = found(make_clip(tmp_path / "a.mkv", *H264, seconds=0.4))
    chosen = choose_decoder(source, "cuda", True, 0)
    assert chosen.video.card is None
    assert chosen.notes[-1] == (
        '[input] hwaccel "cuda": a stage reads quantisers, which only decoders on the CPU tell: decoded on the CPU'
    )
    assert played.opened == []
    # Whoever asks for them gets them.
    source = replace(source, video=replace(source.video, card=0))
    assert everything(source, quantisers=True)[0].quant[0] is not None
    assert played.opened == [False]


def test_what_a_card_does_not_decode(played: Played, tmp_path: Path) -> None:
    def reason(path: Path) -> str:
        chosen = choose_decoder(open_source([path], InputOptions()), "cuda", False, 0)
        assert chosen.video.card is None
        return chosen.notes[-1].removeprefix('[input] hwaccel "cuda": ')

    deep = make_clip(tmp_path / "a.mkv", "-c:v", "ffv1", "-pix_fmt", "yuv444p", seconds=0.2)
    assert reason(deep) == "cards decode no yuv444p here: decoded on the CPU"
    (tmp_path / "scan").mkdir()
    make_clip(tmp_path / "scan" / "%04d.png", "-frames:v", "2")
    assert reason(tmp_path / "scan") == "the input is a sequence of images: decoded on the CPU"
    played.decodes = False
    old = make_clip(tmp_path / "c.rm", "-c:v", "rv20", size="176x144", seconds=0.4)
    assert reason(old) == "this card does not decode rv20 in yuv420p: decoded on the CPU"
    assert played.opened[-1]


def test_nothing_is_asked_of_a_card_by_default(played: Played, tmp_path: Path) -> None:
    source = found(make_clip(tmp_path / "a.mkv", *H264, seconds=0.2))
    assert choose_decoder(source, InputOptions().hwaccel, False, 0) is source
    everything(source)
    assert played.opened == [False]


def test_a_source_in_a_cards_own_format_stays_in_it() -> None:
    frame = av.VideoFrame(32, 16, "nv12")
    assert from_card(frame, "nv12") is frame
    assert from_card(frame, "yuv420p").format.name == "yuv420p"
    planar = av.VideoFrame(32, 16, "yuv420p")
    assert from_card(planar, "yuv420p") is planar
    other = av.VideoFrame(32, 16, "yuv444p")  # midway; what becomes of it is decided later
    assert from_card(other, "yuv420p") is other


def test_no_card_is_one_line(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    clip = make_clip(tmp_path / "a.mkv", *H264, seconds=0.2)
    pipeline = tmp_path / "plain.toml"
    pipeline.write_text('[input]\nhwaccel = "cuda"\n')
    job = Job(read_pipeline(pipeline), (clip,), tmp_path / "out.mkv")
    with pytest.raises(InputError) as caught:
        prepare(job)
    text = str(caught.value)
    assert text.startswith(
        f"{clip}: [input] hwaccel: expected CUDA device 0 with a decoder (NVDEC), found none ("
    )
    assert text.endswith("try hwaccel = \"none\", or see 'restore doctor'")
    assert "\n" not in text
    assert not (tmp_path / "out.mkv").exists()


def test_a_pipelines_wish_reaches_the_decoder(played: Played, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mkv", *H264, size="64x48", seconds=0.2)
    for stage, number in (("", 0), ('[[stage]]\nkind = "deblock"\n', None)):
        pipeline = tmp_path / "p.toml"
        pipeline.write_text(f'[input]\nhwaccel = "cuda"\n{stage}')
        job = Job(read_pipeline(pipeline), (clip,), tmp_path / "out.mkv", device="cpu")
        assert prepare(job).source.video.card == number


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_card_gives_the_codes_of_h264(tmp_path: Path) -> None:
    source = found(make_clip(tmp_path / "a.mkv", *H264, size="320x240", seconds=1))
    chosen = choose_decoder(source, "cuda", False, 0)
    assert chosen.video.card == 0, chosen.notes
    wanted, got = everything(source)[0], everything(chosen)[0]
    assert got.frames == wanted.frames
    assert all(torch.equal(a, b) for a, b in zip(got.planes, wanted.planes, strict=True))


@pytest.mark.parametrize(
    ("packed", "planar", "shift"),
    [("nv12", "yuv420p", 0), ("p010le", "yuv420p10le", 6), ("p210le", "yuv422p10le", 6)],
)
def test_packed_chroma_is_taken_apart_exactly_every_time(
    packed: str, planar: str, shift: int
) -> None:
    """On several threads libswscale wrote over eight samples of one call in a hundred."""
    random = np.random.default_rng(0)
    kind = np.uint16 if shift else np.uint8
    frame = av.VideoFrame(66, 50, packed)
    codes = []
    for plane in frame.planes:
        drawn = random.integers(0, 1 << (10 if shift else 8), plane.buffer_size // kind().itemsize)
        plane.update((drawn.astype(kind) << shift).tobytes())
        codes.append(drawn.reshape(plane.height, -1))
    half = codes[1].shape[0]
    wanted = (codes[0][:, :66], codes[1][:half, 0:66:2], codes[1][:half, 1:66:2])
    for _ in range(400):
        for plane, right in zip(rescaled(frame, format=planar).planes, wanted, strict=True):
            rows = np.frombuffer(plane, kind).reshape(-1, plane.line_size // kind().itemsize)
            assert np.array_equal(rows[: right.shape[0], : right.shape[1]], right)


def test_an_accelerator_can_be_stated_without_a_card() -> None:
    assert accelerator(3).device_id == 3
