from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest
from media_clips import ffmpeg, make_clip, make_sounding_clip

from restore.color import Matrix, Primaries, Siting, Transfer
from restore.errors import InputError
from restore.io import probe as probe_module
from restore.io.probe import InputOptions, probe
from restore.video import Chroma

AUTO = InputOptions()


def test_reads_what_the_stream_states(tmp_path: Path) -> None:
    tags = "colorprim=bt709:transfer=bt709:colormatrix=bt709:chromaloc=2:fullrange=on"
    clip = make_sounding_clip(
        tmp_path / "clip.mp4", "-c:v", "libx264", "-x264-params", tags, "-vf", "setsar=12/11",
        "-pix_fmt", "yuv420p", "-metadata:s:a:0", "language=fra", "-metadata", "title=Été",
    )  # fmt: skip
    source = probe(clip, AUTO)
    video = source.video
    assert (video.codec, video.pixel_format, video.read_as) == ("h264", "yuvj420p", "yuv420p")
    assert (video.format.width, video.format.height, video.format.depth) == (64, 48, 8)
    color = video.format.color
    assert (color.matrix, color.primaries) == (Matrix.BT709, Primaries.BT709)
    assert (color.transfer, color.full_range) == (Transfer.BT709, True)
    assert color.siting is Siting.TOP_LEFT
    assert video.format.sample_aspect == Fraction(12, 11)
    assert video.frame_rate == 25
    (sound,) = source.audio
    assert (sound.codec, sound.rate, sound.channels, sound.language) == ("aac", 44100, 2, "fra")
    assert source.metadata["title"] == "Été"
    assert not any("not tagged" in note for note in source.notes)


def test_unknown_tags_are_decided_once_and_said(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.avi", "-c:v", "msmpeg4v2")
    source = probe(clip, AUTO)
    color = source.video.format.color
    assert (color.matrix, color.full_range) == (Matrix.BT470BG, False)
    assert color.siting is Siting.LEFT
    assert source.notes == (
        "not tagged, taken as: matrix bt470bg, primaries bt470bg, transfer smpte170m, limited range, "
        "left chroma; [input] overrides",
    )


@pytest.mark.parametrize(
    ("encoder", "name", "siting"),
    [
        ("mpeg1video", "clip.mpg", Siting.CENTER),
        ("mpeg2video", "clip.mpg", Siting.LEFT),
        ("rv20", "clip.rm", Siting.CENTER),
        ("flv", "clip.flv", Siting.CENTER),
        ("mpeg4", "clip.avi", Siting.LEFT),
    ],
)
def test_siting_is_the_codecs(tmp_path: Path, encoder: str, name: str, siting: Siting) -> None:
    clip = make_clip(tmp_path / name, "-c:v", encoder, seconds=0.2)
    assert probe(clip, AUTO).video.format.color.siting is siting


def test_options_override_tags(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mkv", "-c:v", "ffv1", "-pix_fmt", "yuv420p", seconds=0.2)
    options = InputOptions(
        matrix="bt2020nc", primaries="film", transfer="gamma22", range="full", siting="top",
        sample_aspect="16:15",
    )  # fmt: skip
    source = probe(clip, options)
    color = source.video.format.color
    assert (color.matrix, color.primaries) == (Matrix.BT2020_NCL, Primaries.FILM)
    assert (color.transfer, color.full_range) == (Transfer.GAMMA22, True)
    assert color.siting is Siting.TOP
    assert source.video.format.sample_aspect == Fraction(16, 15)
    assert source.notes == ()


def test_metadata_in_a_legacy_encoding(tmp_path: Path) -> None:
    title = "title=大决战之辽沈战役".encode("gb18030")
    clip = make_clip(tmp_path / "clip.avi", "-c:v", "mpeg4", "-metadata", title, seconds=0.2)
    source = probe(clip, AUTO)
    assert source.metadata["title"] == "大决战之辽沈战役"
    assert "title is not UTF-8: read as '大决战之辽沈战役'" in source.notes


def test_grey_has_no_chroma(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mkv", "-c:v", "ffv1", "-pix_fmt", "gray", seconds=0.2)
    source = probe(clip, AUTO)
    assert source.video.format.chroma is None
    assert "chroma" not in " ".join(source.notes)


@pytest.mark.parametrize(
    ("pixel_format", "read_as", "chroma", "depth", "note"),
    [
        ("bgr0", "gbrp", Chroma.C444, 16, "bgr0, 8-bit R, G, B, is worked on as 16-bit Y, Cb, Cr"),
        (
            "yuva420p",
            "yuv420p",
            Chroma.C420,
            8,
            "transparency: yuva420p carries it, it is not read",
        ),
        ("yuv420p9le", "yuv420p9le", Chroma.C420, 9, None),
        ("yuv422p16le", "yuv422p16le", Chroma.C422, 16, None),
        ("gray16le", "gray16le", None, 16, None),
        (
            "gbrp10le",
            "gbrp10le",
            Chroma.C444,
            16,
            "10-bit R, G, B, is worked on as 16-bit Y, Cb, Cr",
        ),
        (
            "gbrp16le",
            "gbrp16le",
            Chroma.C444,
            18,
            "16-bit R, G, B, is worked on as 18-bit Y, Cb, Cr",
        ),
    ],
)
def test_every_depth_is_read_and_what_is_made_of_it_said(
    tmp_path: Path,
    pixel_format: str,
    read_as: str,
    chroma: Chroma | None,
    depth: int,
    note: str | None,
) -> None:
    clip = make_clip(tmp_path / "clip.nut", "-c:v", "ffv1", "-pix_fmt", pixel_format, seconds=0.2)
    source = probe(clip, AUTO)
    assert source.video.read_as == read_as
    assert (source.video.format.chroma, source.video.format.depth) == (chroma, depth)
    about = " ".join(n for n in (*source.notes, *source.losses) if "R, G, B" in n or "transp" in n)
    assert (note in about) if note else not about


def test_the_matrix_of_rgb_is_the_one_it_is_converted_with(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mkv", "-c:v", "libx264rgb", "-crf", "10", seconds=0.2)
    source = probe(clip, AUTO)
    assert source.video.pixel_format == "gbrp"
    assert source.video.format.color.matrix is Matrix.BT470BG
    assert source.video.format.color.full_range is False


def test_subtitles_and_attachments_are_listed(tmp_path: Path) -> None:
    text = tmp_path / "words.srt"
    text.write_text("1\n00:00:00,100 --> 00:00:00,500\nHello\n")
    font = tmp_path / "font.ttf"
    font.write_bytes(b"not a font")
    clip = make_clip(tmp_path / "a.mkv", "-c:v", "mpeg4", seconds=0.6)
    full = tmp_path / "b.mkv"
    ffmpeg(
        "-i", clip, "-i", text, "-c", "copy", "-attach", font,
        "-metadata:s:t", "mimetype=application/x-truetype-font",
        "-metadata:s:s:0", "language=eng", full,
    )  # fmt: skip
    kinds = [(o.kind, o.codec, o.language) for o in probe(full, AUTO).other]
    assert kinds == [("subtitle", "subrip", "eng"), ("attachment", "unknown", None)]


# What a user can get wrong -------------------------------------------------------------------------


def message(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        probe(path, AUTO)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_sound_starts_with_its_first_sample_whatever_the_header_says(
    real: Callable[[str], Path],
) -> None:
    path = real("rm/fate_rv10_sipr5k0_160x112.rm")
    with av.open(str(path)) as file:
        assert file.streams.audio[0].start_time == 0
    source = probe(path, InputOptions())
    assert source.audio[0].start == source.start == Fraction(-6, 1000)


def test_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "gone.rm"
    assert message(path) == f"{path}: no such file; check the name"


def test_folder(tmp_path: Path) -> None:
    assert message(tmp_path) == (
        f"{tmp_path}: expected a video file, found a folder; try one file in it"
    )


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.rm"
    path.touch()
    assert message(path) == f"{path}: the file is empty; try another copy of it"


def test_address() -> None:
    path = Path("https://example.org/film.rm")
    assert message(path).endswith("only local files are read; try downloading it first")


def test_text(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("Not a video.\n" * 50)
    assert "expected a video file, but no known format fits it" in message(path)


def test_sound_without_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "sound.mka"
    ffmpeg("-f", "lavfi", "-i", "sine=duration=0.2", "-c:a", "flac", path)
    assert message(path) == f"{path}: expected video, found none; the file holds only flac"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.ffconcat", "ffconcat version 1.0\nfile clip.mkv\n"),
        (
            "list.m3u8",
            "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nclip.mkv\n#EXT-X-ENDLIST\n",
        ),
    ],
)
def test_playlists_are_not_followed(tmp_path: Path, name: str, text: str) -> None:
    make_clip(tmp_path / "clip.mkv", "-c:v", "mpeg4", seconds=0.2)
    (tmp_path / name).write_text(text)
    assert "no known format fits it" in message(tmp_path / name)


def test_nothing_decodable(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.avi", "-c:v", "mpeg4", seconds=0.4)
    data = clip.read_bytes()
    at = data.index(b"movi")
    broken = tmp_path / "broken.avi"
    # Chunk heads stay, so the container is whole; the packets hold nothing.
    body = bytearray(data)
    position = at + 4
    while body[position : position + 4] == b"00dc":
        size = int.from_bytes(body[position + 4 : position + 8], "little")
        body[position + 8 : position + 8 + size] = bytes(size)
        position += 8 + size + size % 2
    broken.write_bytes(body)
    assert "expected frames, none can be decoded" in message(broken)


def test_unknown_codec(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.avi", "-c:v", "mpeg4", seconds=0.2)
    strange = tmp_path / "strange.avi"
    strange.write_bytes(clip.read_bytes().replace(b"FMP4", b"\x01ZZZ"))
    assert message(strange) == (
        f"{strange}: stream 0: expected video that can be decoded, found a codec that FFmpeg does not "
        "know; try converting it with the program that made it"
    )


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = make_clip(tmp_path / "clip.avi", "-c:v", "mpeg4", seconds=0.2)
    monkeypatch.setattr(probe_module, "MAX_SIDE", 60)
    assert message(clip) == f"{clip}: expected at most 60 samples a side, found 64x48"
