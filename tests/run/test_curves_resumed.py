"""A run that measures every frame, broken off and taken up again."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path

import ffmpeg
import imageio_ffmpeg
import pytest

import restore.index
from restore.pipeline import read_pipeline
from restore.run import local
from restore.run.job import Job, Listener, Progress, prepare
from restore.run.parts import INDEX, parts_dir


class Stop(Listener):
    """Breaks off once so many frames are through."""

    def __init__(self, at: int) -> None:
        self._at = at

    def progress(self, now: Progress) -> None:
        if now.frames >= self._at:
            raise KeyboardInterrupt


@pytest.mark.parametrize("known", [True, False], ids=["index kept", "index lost"])
def test_the_same_bytes(known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore.index, "SEGMENT_CAP_SECONDS", Fraction(12, 25))
    picture = ffmpeg.input("testsrc2=size=96x72:rate=25:duration=2.4", f="lavfi")
    dark = picture.filter("eq", brightness="0.1*mod(n*7,3)/3", eval="frame")
    film = tmp_path / "film.mpg"
    exe = imageio_ffmpeg.get_ffmpeg_exe()
    options = {"vcodec": "mpeg1video", "qscale:v": 3}
    ffmpeg.output(dark, str(film), **options).run(cmd=exe, quiet=True)
    (tmp_path / "p.toml").write_text(
        '[scenes]\ndetector = "none"\n[[stage]]\nkind = "deflicker"\n[output]\npreset = "ultrafast"\n'
    )
    spec = read_pipeline(tmp_path / "p.toml")

    def made(name: str, listener: Listener) -> str:
        summary = local.run(prepare(Job(spec, (film,), tmp_path / name, threads=1)), listener)
        assert summary.segments == 5
        return hashlib.sha256(summary.output.read_bytes()).hexdigest()

    whole = made("whole.mkv", Listener())
    with pytest.raises(KeyboardInterrupt):
        made("again.mkv", Stop(40))
    index = parts_dir(tmp_path / "again.mkv") / INDEX
    assert index.exists()
    if not known:
        index.unlink()
    assert made("again.mkv", Listener()) == whole
    monkeypatch.setattr("restore.stages.deflicker.Deflicker.process", lambda _, clip: clip.planes)
    assert made("plain.mkv", Listener()) != whole
