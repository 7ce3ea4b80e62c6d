"""The commands as a user runs them: exit codes, one clear line for each mistake, nothing left behind."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ffmpeg
import imageio_ffmpeg
import pytest

from restore.cli import main
from restore.progress import counted

ROOT = Path(__file__).resolve().parents[1]
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


Restore = Callable[..., Done]


@pytest.fixture
def restore(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Restore:
    """Runs the entry point in `tmp_path`, in this process: an interpreter start costs seconds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["restore", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return Done(int(ended.value.code or 0), *capsys.readouterr())

    return call


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MPEG-1 with MP2: 1 s of 96x64, and half a second of silence before the sound."""
    path = tmp_path_factory.mktemp("clip") / "clip.mpg"
    picture = ffmpeg.input("testsrc2=size=96x64:rate=25:duration=1", f="lavfi")
    sound = ffmpeg.input("sine=frequency=440:duration=1", f="lavfi")
    options = {"vcodec": "mpeg1video", "acodec": "mp2", "qscale:v": 3}
    ffmpeg.output(picture, sound, str(path), **options).run(cmd=FFMPEG, quiet=True)
    return path


def mistakes(clip: Path, folder: Path) -> dict[str, tuple[list[object], str]]:
    (folder / "text.rm").write_text("This is not a video.\n" * 100)
    (folder / "empty.rm").touch()
    (folder / "there.mkv").write_bytes(b"precious")
    sound = folder / "sound.mka"
    if not sound.exists():
        ffmpeg.input(str(clip)).audio.output(str(sound), acodec="copy").run(cmd=FFMPEG, quiet=True)
    return {
        "text": (["lanczos_x2", folder / "text.rm", "out.mkv"], "text.rm"),
        "empty": (["lanczos_x2", folder / "empty.rm", "out.mkv"], "empty.rm"),
        "missing": (["lanczos_x2", folder / "a:top:b.rm", "out.mkv"], "a:top:b.rm"),
        "directory": (["lanczos_x2", folder, "out.mkv"], "found a folder"),
        "sound only": (["lanczos_x2", sound, "out.mkv"], "expected video, found none"),
        "there": (["lanczos_x2", clip, "there.mkv"], "--overwrite"),
        "same file": (["lanczos_x2", clip, clip, "--overwrite"], "same file"),
        "no folder": (["lanczos_x2", clip, "nowhere/out.mkv"], "does not exist"),
        "container": (["lanczos_x2", clip, "out.xyz"], "xyz"),
        "pipeline": (["lanczos_x3", clip, "out.mkv"], "did you mean 'lanczos_x2'"),
        "device": (["lanczos_x2", clip, "out.mkv", "--device", "cuda:99"], "--device cuda:99"),
        "codec": (
            ["lanczos_x2", clip, "out.mkv", "--set", "output.codec=libx24"],
            "did you mean 'libx264'",
        ),
        "time": (["lanczos_x2", clip, "out.mkv", "--start", "soon"], "--start soon"),
        "crf": (
            ["lanczos_x2", clip, "out.mkv", "--set", "output.crf=60"],
            "expected 0 to 51 for libx264",
        ),
        "beyond": (
            ["lanczos_x2", clip, "out.mkv", "--start", "100"],
            "the last one comes 0.960 s after the first",
        ),
        "option": (["lanczos_x2", clip, "out.mkv", "--speed"], "--speed"),
        "url": (["lanczos_x2", "http://localhost/a.rm", "out.mkv"], "http"),
        "order": ([clip, "lanczos_x2", "out.mkv"], "expected a pipeline file (it comes before"),
        "digits": (["lanczos_x2", clip, "out.mkv", "--end", "1e999999"], "--end 1e999999"),
        "long": (["lanczos_x2", clip, f"{'x' * 300}.mkv"], "File name too long"),
        "long input": (["lanczos_x2", f"{'x' * 300}.rm", "out.mkv"], "File name too long"),
        "suffix": (["lanczos_x2", clip, "out.mpg"], "a name that ends in .mkv, .mp4"),
        "value": (
            ["lanczos_x2", clip, "out.mkv", "--set", "input.deinterlace=maybe"],
            "deinterlace: expected 'auto', 'off'",
        ),
        "pattern": (["lanczos_x2", clip, "out.mkv", "--set", "input.crop=1:2"], "as 'LEFT:TOP:"),
        "key": (
            ["lanczos_x2", clip, "out.mkv", "--set", "input.deinterlaced=off"],
            "did you mean 'deinterlace'",
        ),
        "archive": (["lanczos_x2", clip, "out.mp4", "--set", "output.use=archive"], "an .mkv file"),
        "glob": (["lanczos_x2", "*.rm.old", "out.mkv"], "no file has such a name"),
        "few words": (["lanczos_x2", clip], "Missing argument"),
    }


NAMES = [
    *("text", "empty", "missing", "directory", "sound only", "there", "same file", "no folder"),
    *("container", "pipeline", "device", "codec", "time", "beyond", "crf", "option", "url"),
    *("order", "digits", "long", "long input", "suffix", "value", "pattern", "key", "archive"),
    *("glob", "few words"),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_mistake_is_one_clear_line_and_leaves_nothing(
    name: str, clip: Path, tmp_path: Path, restore: Restore
) -> None:
    arguments, expected = mistakes(clip, tmp_path)[name]
    refuses(restore, tmp_path, expected, "run", *arguments)


def refuses(restore: Restore, folder: Path, expected: str, *arguments: object) -> None:
    """One clear line, exit code 2, and every file as it was."""
    before = {p: p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}
    done = restore(*arguments)
    assert done.returncode == 2, done.stderr
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith(("error:", "Error:"))]
    assert len(errors) == 1
    assert {p: p.read_bytes() if p.is_file() else None for p in folder.rglob("*")} == before


RECIPE = ROOT / "recipes" / "film_x2_fast.toml"
OTHERS: dict[str, tuple[list[object], str]] = {
    "sample there": (["sample", "there.rm"], "there.rm: exists already"),
    "sample suffix": (["sample", "film.mp4"], "ends in .rm"),
    "train recipe": (["train", "film_x9"], "no such training recipe"),
    "train folder": (["train", "folder"], "folder: no such training recipe"),
    "train video": (["train", "there.rm"], "expected a training recipe"),
    "train data": (["train", RECIPE, "--data", "nowhere"], "--data nowhere: no such folder"),
    "train no data": (["train", RECIPE, "--work", "work"], "give --data"),
    "train out": (["train", RECIPE, "--out", "there.rm"], "--out there.rm: expected a folder"),
    "degrade missing": (["degrade", "a.mkv", "old", "--recipe", RECIPE], "a.mkv: expected a video"),
    "degrade text": (["degrade", "a.txt", "old", "--recipe", RECIPE], "FFmpeg failed: Error"),
    "degrade out": (["degrade", "a.txt", "there.rm", "--recipe", RECIPE], "expected a folder"),
    "evaluate long": (["evaluate", "lanczos_x2", "--set", "x" * 300], "File name too long"),
    "evaluate set": (["evaluate", "lanczos_x2", "--set", "nowhere"], "--set nowhere: expected"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_mistake_with_another_command(name: str, tmp_path: Path, restore: Restore) -> None:
    (tmp_path / "there.rm").write_bytes(b"precious\0")
    (tmp_path / "a.txt").write_text("No video.")
    (tmp_path / "folder").mkdir()
    arguments, expected = OTHERS[name]
    refuses(restore, tmp_path, expected, *arguments)


@pytest.mark.parametrize("command", ["run", "evaluate"])
def test_a_record_that_cannot_be_written_is_told_before_the_work(
    command: str, clip: Path, tmp_path: Path, restore: Restore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda _, mode: mode != os.W_OK)  # root may write anywhere
    words = {"run": ["lanczos_x2", clip, "o.mkv"], "evaluate": ["lanczos_x2", "--set", "nowhere"]}
    refuses(
        *(restore, tmp_path, "--json r.json: its folder cannot be written to", command),
        *(*words[command], "--json", "r.json"),
    )


def test_run_makes_the_file_and_says_what_it_did(
    clip: Path, tmp_path: Path, restore: Restore
) -> None:
    done = restore("run", "lanczos_x2", clip, "out.mkv", "--set=output.preset=ultrafast")
    assert done.returncode == 0, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["out.mkv"]
    text = " ".join(done.stdout.split())
    assert "frames 25, 1 segment duration" in text
    assert "duration 0:01.000" in text
    assert "damaged frames none" in text
    assert "copied │ bit for bit" in text


def test_start_and_end_cut_picture_and_sound(clip: Path, tmp_path: Path, restore: Restore) -> None:
    done = restore(
        *("run", "lanczos_x2", clip, "out.mkv", "--start", "0.2", "--end", "0:00.6"),
        *("--set=output.preset=ultrafast",),
    )
    assert done.returncode == 0, done.stderr
    info = subprocess.run(
        [FFMPEG, "-i", tmp_path / "out.mkv", "-map", "0:v", "-vf", "showinfo", "-f", "null", "-"],
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    assert info.count("pts_time:") == 10
    sound = subprocess.run(
        [FFMPEG, "-v", "error", "-i", tmp_path / "out.mkv", "-map", "0:a", "-f", "s16le", "-"],
        capture_output=True,
        check=True,
    ).stdout
    # A copied packet of MP2 is 1152 samples: the cut is right to a packet at each end.
    assert abs(len(sound) / 2 / 44100 - 0.4) < 2 * 1152 / 44100


@pytest.mark.parametrize("name", ["out.avi", "out.ts"])
def test_a_part_in_an_older_container(
    name: str, clip: Path, tmp_path: Path, restore: Restore
) -> None:
    """With the default encoder: AVI gets no B-frames without being asked."""
    done = restore(
        *("run", "lanczos_x2", clip, name, "--start", "0.2", "--end", "0.8"),
        *("--set=output.preset=veryfast",),
    )
    assert done.returncode == 0, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == [name]
    text = " ".join(done.stdout.split())
    assert "audio/video offset error 0.0 ms" in text
    done = restore("check", "lanczos_x2", clip, "--output", name)
    assert done.returncode == 0, done.stderr


def test_check_shows_the_chain(clip: Path, tmp_path: Path, restore: Restore) -> None:
    done = restore("check", "lanczos_x2", clip)
    assert done.returncode == 0, done.stderr
    assert "192x128" in done.stdout
    rows = [line.split("│")[1:-1] for line in done.stdout.splitlines() if line.count("│") == 5]
    table = [[cell.strip() for cell in row] for row in rows]
    assert table == [
        ["0", "video: mpeg1video, 96x64", "restored: libx264, 192x128", ""],
        [
            *("1", "audio: mp2, 44100 Hz, mono", "copied"),
            "bit for bit; matroska plays it back unchanged",
        ],
    ]
    assert list(tmp_path.iterdir()) == []


def test_check_names_every_problem(tmp_path: Path, restore: Restore) -> None:
    (tmp_path / "p.toml").write_text("[ouput]\n[[stage]]\nkind='align'\nradius=9\n")
    done = restore("check", "p.toml")
    assert done.returncode == 2
    assert done.stderr.count("error:") == 2


@pytest.mark.parametrize("command", [["stages"], ["stages", "align"], ["models"], ["--version"]])
def test_lists(command: list[str], restore: Restore) -> None:
    done = restore(*command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_module_runs_and_its_exit_code_arrives() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "restore", "run", "lanczos_x2", "missing.rm", "out.mkv"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: missing.rm: ")


def test_stage_reference_is_current(restore: Restore) -> None:
    assert (ROOT / "docs" / "stages.md").read_text() == restore("stages", "--markdown").stdout


def test_a_part_with_converted_sound_is_exact(clip: Path, tmp_path: Path, restore: Restore) -> None:
    done = restore(
        *("run", "lanczos_x2", clip, "out.mkv", "--start", "0.2", "--end", "0.6"),
        *("--set=output.preset=ultrafast", "--set=output.audio=flac"),
    )
    assert done.returncode == 0, done.stderr
    command = [FFMPEG, "-v", "error", "-i", tmp_path / "out.mkv", "-map", "0:a", "-f", "s16le", "-"]
    sound = subprocess.run(command, capture_output=True, check=True).stdout
    assert len(sound) / 2 == 0.4 * 44100


def test_evaluate_prints_gains_and_writes_every_score(tmp_path: Path, restore: Restore) -> None:
    (tmp_path / "set").mkdir()
    still = ffmpeg.input("testsrc2=size=64x64", f="lavfi").output("set/a.png", vframes=1)
    still.run(cmd=FFMPEG, quiet=True)
    command = ("evaluate", "film_x2_fast", "--set", "set", "--measure", "psnr,ssim")
    done = restore(*command, "--json", "scores.json")
    assert done.returncode == 0, done.stderr
    assert "film_x2_fast - lanczos" in done.stdout
    assert done.stderr.splitlines() == ["set a: bicubic"]
    assert {s["item"] for s in json.loads(Path("scores.json").read_text())["scores"]} == {"a"}
    again = restore(*command, "--json", "scores.json")
    assert again.returncode == 2
    assert "--overwrite" in again.stderr
    unknown = restore(*command, "--recipe", "vdc")
    assert unknown.returncode == 2
    assert "did you mean 'vcd'" in unknown.stderr


def test_help_waits_for_no_library_it_does_not_use() -> None:
    code = "import sys, restore.cli; print([m for m in ('torch', 'av', 'cv2', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_run_waits_for_no_library_it_does_not_use() -> None:
    code = "import sys, restore.run.local; print([m for m in ('scenedetect', 'openvino') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_compare_counts_what_belongs_together(clip: Path, tmp_path: Path, restore: Restore) -> None:
    done = restore("compare", clip, clip, "out.mp4", "--mode", "wipe", "--labels", "before,after")
    assert done.returncode == 0, done.stderr
    assert "25 frames" in done.stdout
    assert "25 pairs, their times at most 0.0 ms apart; 0 frames of A alone" in done.stdout
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]


@pytest.mark.parametrize(
    ("option", "value"),
    [("--mode", "sidde"), ("--kernel", "cubic"), ("--labels", "one"), ("--crop", "1,2"), ("--offset", "x")],
)  # fmt: skip
def test_a_wrong_value_of_compare_is_named(
    option: str, value: str, clip: Path, tmp_path: Path, restore: Restore
) -> None:
    done = restore("compare", clip, clip, "out.mp4", option, value)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {option}")
    assert list(tmp_path.iterdir()) == []


def test_batch_goes_on_after_a_failure_and_sums_up(
    clip: Path, tmp_path: Path, restore: Restore
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "one.mpg").write_bytes(clip.read_bytes())
    (tmp_path / "in" / "two.mpg").write_text("This is not a video.\n" * 100)
    (tmp_path / "in" / "three.mpg").write_bytes(clip.read_bytes())
    (tmp_path / "in" / "three.mpg.toml").write_text("end = '0.4'\n")
    command = ("batch", "in", "lanczos_x2", "--out", "new", "--set=output.preset=ultrafast")
    done = restore(*command, "--json", "sum.json")
    assert done.returncode == 2
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["one.mkv", "three.mkv"]
    assert "3 files, 1 failed" in done.stdout
    assert done.stderr.count("error:") == 1
    states = [s["state"] for s in json.loads((tmp_path / "sum.json").read_text())]
    assert states == ["done", "done", "failed"]
    shown = restore(*command, "--dry-run")
    assert "two.mkv" in shown.stdout
    assert not (tmp_path / "new" / "two.mkv").exists()


def test_preview_writes_pictures_and_a_table(clip: Path, tmp_path: Path, restore: Restore) -> None:
    done = restore("preview", "lanczos_x2", clip, "--count", "2", "--out", "look")
    assert done.returncode == 0, done.stderr
    assert "192x128" in done.stdout
    assert "25 frames, 0:01.000, 1 scenes" in done.stdout
    names = sorted(p.name for p in (tmp_path / "look").iterdir())
    assert len(names) == 2 * 2 + 2
    assert names[-2:] == ["details.png", "sheet.png"]
    again = restore("preview", "lanczos_x2", clip, "--out", "look")
    assert again.returncode == 2
    assert "--overwrite" in again.stderr


def test_run_writes_a_page_and_report_does_too(
    clip: Path, tmp_path: Path, restore: Restore
) -> None:
    done = restore(
        *("run", "lanczos_x2", clip, "out.mkv", "--start", "0.2", "--end", "0.8"),
        *("--report", "page.html", "--set=output.preset=ultrafast"),
    )
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.mkv", "page.html"]
    text = (tmp_path / "page.html").read_text("utf-8")
    assert "15 pairs, their times at most 0.0 ms apart" in text
    assert "fingerprint of the settings" in text
    again = restore("run", "lanczos_x2", clip, "new.mkv", "--report", "page.html")
    assert again.returncode == 2
    assert "--overwrite" in again.stderr
    assert not (tmp_path / "new.mkv").exists()
    done = restore("report", clip, "out.mkv", "other.html", "--offset", "0.2", "--film", "0.2")
    assert done.returncode == 0, done.stderr
    assert "No record of the run" in (tmp_path / "other.html").read_text("utf-8")


@pytest.mark.parametrize(("number", "said"), [(0, "0 frames"), (1, "1 frame"), (2, "2 frames")])
def test_one_is_no_plural(number: int, said: str) -> None:
    assert counted(number, "frame") == said


def test_check_counts_one_stage(restore: Restore) -> None:
    assert "1 stage, no problems" in restore("check", "lanczos_x2").stdout
