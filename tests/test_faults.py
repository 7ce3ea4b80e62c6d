"""What a machine that cannot go on is told as: one sentence that says what to try, without a traceback."""

import errno
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import av
import cv2
import ffmpeg
import imageio_ffmpeg
import numpy as np
import pytest
import torch

from restore import faults
from restore.cli import main
from restore.errors import InputError
from restore.io import encode, reader
from restore.stages import upscale

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()

Run = Callable[..., tuple[int, list[str]]]


def raised(work: Callable[[], object]) -> BaseException:
    with pytest.raises(Exception) as caught:
        work()
    return caught.value


def too_much() -> object:
    return torch.empty(1 << 60, dtype=torch.uint8)


def too_much_for_opencv() -> object:
    return cv2.copyMakeBorder(np.zeros((9, 9), np.uint8), 1 << 29, 1 << 29, 1 << 29, 1 << 29, 0)


MACHINE: dict[str, tuple[Callable[[], BaseException], str]] = {
    "Python": (lambda: MemoryError(), "not enough memory (MemoryError); close other programs"),
    "C++": (lambda: RuntimeError("std::bad_alloc"), "not enough memory (std::bad_alloc)"),
    "torch": (lambda: raised(too_much), "not enough memory (DefaultCPUAllocator: can't allocate"),
    "NumPy": (lambda: raised(lambda: np.empty(1 << 60, np.uint8)), "not enough memory ("),
    "OpenCV": (
        lambda: raised(too_much_for_opencv),
        "not enough memory (Failed to allocate 1152921523934199889 bytes",
    ),
    "FFmpeg": (lambda: raised(lambda: av.error.err_check(-errno.ENOMEM)), "not enough memory ("),
    "GPU memory": (
        lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nSee docs"),
        "not enough memory on the GPU (CUDA out of memory. Tried to allocate 2 GiB.); close",
    ),
    "GPU": (
        lambda: RuntimeError("CUDA error: an illegal memory access was encountered\nCUDA kernel"),
        "the GPU failed (CUDA error: an illegal memory access was encountered); try again",
    ),
    "threads": (lambda: RuntimeError("can't start new thread"), "starts no more threads"),
    "full": (
        lambda: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/a/b"),
        "/a/b: No space left on device; the disk is full: make room",
    ),
    "quota": (lambda: OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), "the quota is used up"),
    "disk": (lambda: OSError(errno.EIO, os.strerror(errno.EIO), "a"), "a: Input/output error; the"),
    "read-only": (lambda: OSError(errno.EROFS, os.strerror(errno.EROFS)), "is read-only: choose"),
    "files": (lambda: OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "ulimit -n"),
}


@pytest.mark.parametrize("name", MACHINE)
def test_what_the_machine_says_is_one_sentence_with_advice(name: str) -> None:
    make, expected = MACHINE[name]
    error = make()
    text = faults.machine_fault(error)
    assert text is not None
    assert expected in text
    assert "\n" not in text
    assert len(text) < 240  # three lines of a terminal
    assert not faults.is_internal(error)


OURS = (
    ValueError("expected 3 planes, got 2"),
    IndexError("list index out of range"),
    RuntimeError("Expected all tensors to be on the same device, but found cuda:0 and cpu"),
    FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "a"),
    OSError(errno.EINVAL, os.strerror(errno.EINVAL)),
)


@pytest.mark.parametrize("error", OURS, ids=repr)
def test_what_the_program_did_wrong_is_not_blamed_on_the_machine(error: Exception) -> None:
    assert faults.machine_fault(error) is None
    assert faults.told(error).startswith("a fault of restore: ")


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the quota is used up"),
        (errno.EIO, "the disk or the way to it fails"),
        (errno.EROFS, "this file system is read-only"),
        (errno.EMFILE, "too many files are open"),
        (errno.ENOMEM, "close other programs"),
        (errno.EINVAL, "try an .mkv file"),
    ],
)
def test_a_file_that_cannot_be_written_gets_the_advice_that_fits(number: int, advice: str) -> None:
    error = raised(lambda: av.error.err_check(-number))
    said = str(faults.cannot_write(Path("a.mkv"), error, "try an .mkv file"))
    assert said.startswith(f"a.mkv: cannot be written: {os.strerror(number)}; {advice}")
    assert ("full" in said) == (number == errno.ENOSPC)


def test_words_without_end_are_cut() -> None:
    assert faults.brief(ValueError("x" * 1000 + "\nsecond line")) == "x" * 110 + "..."
    assert faults.brief(ValueError()) == "ValueError"
    assert faults.brief(ValueError("\n\n first \n second")) == "first"


# In a run ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.avi"
    picture = ffmpeg.input("testsrc2=size=64x48:rate=25:duration=0.4", f="lavfi")
    ffmpeg.output(picture, str(path), vcodec="mpeg4", **{"qscale:v": 3}).run(cmd=FFMPEG, quiet=True)
    return path


@pytest.fixture
def restore(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """A run of the clip in `tmp_path`: its exit code, and the lines on stderr."""
    monkeypatch.chdir(tmp_path)

    def go(*more: str) -> tuple[int, list[str]]:
        words = ["restore", "run", "lanczos_x2", str(clip), "out.mkv", *more]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), capsys.readouterr().err.splitlines()

    return go


def av_error(number: int) -> BaseException:
    return raised(lambda: av.error.err_check(-number))


class Broken:
    """Stands before `inner`, whose method `name` raises `error`; what `inner` holds under `through` is broken as well."""

    def __init__(self, inner: Any, name: str, error: BaseException, *through: str) -> None:
        vars(self).update(inner=inner, name=name, error=error, through=through)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if name == self.name:
            return self._fail
        if name == "add_stream" and self.through:
            return lambda *given, **named: Broken(
                found(*given, **named), self.name, self.error, *self.through
            )
        return Broken(found, self.name, self.error) if name in self.through else found

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self.inner, name, value)

    def _fail(self, *_: object) -> NoReturn:
        raise self.error


WRITING = {
    "encoder memory": (
        "encode",
        errno.ENOMEM,
        "libx264: 128x96 yuv420p cannot be encoded: not eno",
    ),
    "encoder argument": ("encode", errno.EINVAL, "try another preset or another encoder"),
    "encoder library": ("encode", 542398533, "Generic error in an external library; try another"),
    "segment full": ("mux", errno.ENOSPC, "segment-00000.nut.part: cannot be written: No space"),
    "segment disk": ("mux", errno.EIO, "the disk or the way to it fails"),
    "segment argument": ("mux", errno.EINVAL, "Invalid argument; try another encoder"),
    "end of a segment": ("close", errno.EDQUOT, "the quota is used up"),
}


@pytest.mark.parametrize("name", WRITING)
def test_an_encoder_or_a_disk_that_fails_is_one_line(
    name: str, restore: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, number, expected = WRITING[name]
    make, error = encode._segment_file, av_error(number)
    through = ("codec_context",) if method == "encode" else ()
    monkeypatch.setattr(
        encode, "_segment_file", lambda *given: Broken(make(*given), method, error, *through)
    )
    code, lines = restore()
    assert code == 2
    (line,) = lines
    assert line.startswith("error: ")
    assert expected in line
    assert ("is full" in line) == (number == errno.ENOSPC)
    assert list(tmp_path.iterdir()) == []


STAGES: dict[str, tuple[BaseException, int, str]] = {
    "memory": (MemoryError(), 2, "error: not enough memory"),
    "GPU": (
        RuntimeError("CUDA error: unspecified launch failure\n..."),
        2,
        "error: the GPU failed",
    ),
    "fault": (ValueError("odd\nsecond"), 1, "internal error: ValueError: odd (restore/"),
}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_that_fails_is_told_in_short(
    name: str, restore: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error, wanted, expected = STAGES[name]

    def fail(*_: object) -> NoReturn:
        raise error

    monkeypatch.setattr(upscale.Upscale, "process", fail)
    code, lines = restore("--json", "r.json")
    assert code == wanted
    assert lines[0].startswith(expected)
    assert len(lines) == 1 + (wanted == 1)
    if wanted == 1:
        assert "[[stage]] 1 (upscale)" in lines[0]
        assert "please report it" in lines[1]
    record = json.loads((tmp_path / "r.json").read_text())
    assert (record["outcome"], record["traceback"] is not None) == ("failed", wanted == 1)
    assert "Traceback" in "".join(restore("--verbose", "--json", "s.json")[1])


def test_a_decoder_without_memory_does_not_pass_for_damage(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = av_error(errno.ENOMEM)
    told: list[object] = []
    with av.open(str(clip)) as file:
        broken = Broken(file, "demux", error)
        assert list(reader.packets_of(broken, [], lambda *event: told.append(event))) == []
        assert told[0][0] == "demux"  # the machine has memory: the file asked for too much

        def none_left(*_: object) -> NoReturn:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

        monkeypatch.setattr(reader.mmap, "mmap", none_left)
        with pytest.raises(MemoryError):
            list(reader.packets_of(broken, [], lambda *event: None))


def test_a_video_that_the_system_does_not_open_is_not_called_something_else(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise av_error(errno.EMFILE)

    monkeypatch.setattr(reader.av, "open", refuse)
    with pytest.raises(
        InputError, match=r"clip.avi: cannot be read: Too many open files; .*ulimit"
    ):
        reader.open_input(clip)


def test_an_unreadable_file_gets_the_advice_that_fits() -> None:
    said = str(faults.cannot_read("a.rm", OSError(errno.EIO, os.strerror(errno.EIO))))
    assert said.startswith("a.rm: cannot be read: Input/output error; the disk or the way to it")
    said = str(faults.cannot_read("a.rm", OSError(errno.EACCES, os.strerror(errno.EACCES))))
    assert said == "a.rm: cannot be read: Permission denied"
