"""`--threads` changes how fast a run is, and nothing else."""

from __future__ import annotations

from pathlib import Path

import ffmpeg
import imageio_ffmpeg
import pytest

from restore.pipeline import read_pipeline
from restore.run import local
from restore.run.job import Job, Listener, prepare


@pytest.mark.parametrize(
    "codec", ["libx264", "libx265", "libsvtav1", "libvpx-vp9", "ffv1", "prores_ks", "mpeg2video"]
)
def test_any_number_of_threads_gives_the_same_bytes(codec: str, tmp_path: Path) -> None:
    clip, pipeline = tmp_path / "clip.avi", tmp_path / "empty.toml"
    picture = ffmpeg.input("testsrc2=size=176x144:rate=25:duration=0.6", f="lavfi")
    ffmpeg.output(picture, str(clip), vcodec="mpeg4").run(
        cmd=imageio_ffmpeg.get_ffmpeg_exe(), quiet=True
    )
    pipeline.write_text("")
    spec = read_pipeline(pipeline, [f"output.codec={codec}", "output.preset=veryfast"])
    made = set()
    for threads in (1, 2, 4):
        output = tmp_path / f"{threads}.{'mov' if codec == 'prores_ks' else 'mkv'}"
        local.run(prepare(Job(spec, (clip,), output, threads=threads)), Listener())
        made.add(output.read_bytes())
    assert len(made) == 1
