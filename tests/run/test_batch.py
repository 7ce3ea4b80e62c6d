"""Many files: which, with what settings, and what one failure does to the others."""

from pathlib import Path

import pytest

from restore.errors import InputError, OutputError, PipelineFileError
from restore.run.batch import Entry, Outcome, is_batch_record, plan, run_batch, summary


@pytest.fixture
def tapes(tmp_path: Path) -> Path:
    folder = tmp_path / "tapes"
    folder.mkdir()
    for name in ("b.rmvb", "a.AVI", "a.rm", "notes.txt", "cover.jpg"):
        (folder / name).touch()
    return folder


def outputs(entries: list[Entry]) -> dict[str, str]:
    return {e.input.name: e.output.name for e in entries}


def test_a_folder_gives_its_videos_in_order(tapes: Path, tmp_path: Path) -> None:
    entries = plan(str(tapes), "lanczos_x2", tmp_path / "out")
    assert [e.input.name for e in entries] == ["a.AVI", "a.rm", "b.rmvb"]
    # Two of one name keep their endings.
    assert outputs(entries) == {"a.AVI": "a.AVI.mkv", "a.rm": "a.rm.mkv", "b.rmvb": "b.mkv"}


def test_a_pattern_takes_what_it_matches(tapes: Path, tmp_path: Path) -> None:
    (tapes / "a.rm.toml").touch()
    entries = plan(str(tapes / "a*"), "lanczos_x2", tmp_path / "out", suffix=".mp4")
    assert outputs(entries) == {"a.AVI": "a.AVI.mp4", "a.rm": "a.rm.mp4"}


def test_a_sidecar_changes_its_file_alone(tapes: Path, tmp_path: Path) -> None:
    (tapes / "b.rmvb.toml").write_text(
        'pipeline = "bw_film_x2"\nset = ["output.crf=30"]\nstart = "0:10"\nend = "20"\noutput = "film.mp4"\n'
    )
    (tapes / "a.rm.toml").write_text("skip = true\n")
    one, two, three = plan(str(tapes), "lanczos_x2", tmp_path / "out", ["output.crf=10"])
    assert (one.spec.name, one.spec.output.crf, one.skip) == ("lanczos_x2", 10, False)
    assert two.skip
    assert (three.spec.name, three.spec.output.crf) == ("bw_film_x2", 30)
    assert (three.start, three.end, three.output.name) == ("0:10", "20", "film.mp4")


DEEP = "x = " + "[" * 20_000
LONG = "crf = " + "9" * 5_000


def problems(entries: list[Entry]) -> dict[str, list[str]]:
    return {e.input.name: list(e.problems) for e in entries if e.problems}


def test_a_bad_sidecar_stops_its_file_alone(tapes: Path, tmp_path: Path) -> None:
    (tapes / "a.AVI.toml").write_text("pipelin = 'x'\n")
    (tapes / "a.rm.toml").write_text("set = ['output.crv=20']\n")
    entries = plan(str(tapes), "lanczos_x2", tmp_path / "out")
    (one,), (two,) = problems(entries)["a.AVI"], problems(entries)["a.rm"]
    assert "a.AVI.toml: pipelin: unknown key; did you mean 'pipeline'?" in one
    assert "a.rm.toml: lanczos_x2.toml: [output]: crv" in two
    outcomes = list(run_batch(entries, lambda entry: [entry.input.name], False))
    assert [o.state for o in outcomes] == ["failed", "failed", "done"]
    assert [o.losses for o in outcomes] == [(), (), ("b.rmvb",)]
    assert isinstance(outcomes[0].error, PipelineFileError)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("output = 'b.mkv'\n[", "not valid TOML"),
        (DEEP, "lie too deep in each other"),
        (LONG, "a number is too long"),
        ("output = '../b.mkv'", "output: expected a file name"),
        ("output = 'b.xyz'", "output: expected a file name"),
        ("output = '/tmp/b.mkv'", "output: expected a file name"),
        ('output = "b\\u0000.mkv"', "output: expected a file name"),
        ('pipeline = "b\\u0000"', "no such pipeline file"),
        ("\0", "found a file that is not text"),
        ("set = ['align.radius=" + "[" * 20_000 + "']", "align"),
    ],
    ids=lambda given: str(given)[:24],
)
def test_what_a_sidecar_may_hold(text: str, said: str, tapes: Path, tmp_path: Path) -> None:
    (tapes / "b.rmvb.toml").write_text(text)
    found = problems(plan(str(tapes), "lanczos_x2", tmp_path / "out"))
    assert set(found) == {"b.rmvb"}
    assert said in found["b.rmvb"][0]
    assert len(found["b.rmvb"][0]) < 1_000


def test_two_files_of_one_output_are_refused(tapes: Path, tmp_path: Path) -> None:
    (tapes / "a.rm.toml").write_text("output = 'b.mkv'\n")
    found = problems(plan(str(tapes), "lanczos_x2", tmp_path / "out"))
    assert set(found) == {"a.rm", "b.rmvb"}
    assert "b.mkv: 2 files" in found["b.rmvb"][0]


def test_wrong_places(tapes: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="no video lies"):
        plan(str(tmp_path / "none"), "lanczos_x2", tmp_path / "out")
    with pytest.raises(InputError, match="no file matches"):
        plan(str(tmp_path / "*.nothing"), "lanczos_x2", tmp_path / "out")
    with pytest.raises(OutputError, match="holds the inputs"):
        plan(str(tapes), "lanczos_x2", tapes)
    with pytest.raises(OutputError, match=r"--container \.xyz"):
        plan(str(tapes), "lanczos_x2", tmp_path / "out", suffix=".xyz")
    with pytest.raises(PipelineFileError, match="did you mean 'lanczos_x2'"):
        plan(str(tapes), "lanczos_x3", tmp_path / "out")


def test_a_failure_stops_no_other(tapes: Path, tmp_path: Path) -> None:
    (tapes / "c.rm").touch()
    (tapes / "c.rm.toml").write_text("skip = true\n")
    entries = plan(str(tapes), "lanczos_x2", tmp_path / "out")

    def restore(entry: Entry) -> list[str]:
        if entry.input.name == "a.AVI":
            raise InputError("a.AVI: broken")
        entry.output.write_bytes(b"made")
        return ["its chapters"]

    def states(outcomes: list[Outcome]) -> list[str]:
        return [o.state for o in outcomes]

    first = list(run_batch(entries, restore, overwrite=False))
    assert states(first) == ["failed", "done", "done", "skipped"]
    again = list(run_batch(entries, restore, overwrite=False))
    assert states(again) == ["failed", "there", "there", "skipped"]
    assert states(list(run_batch(entries, restore, overwrite=True)))[1] == "done"
    assert [s["error"] for s in summary(first)] == ["a.AVI: broken", None, None, None]
    assert [s["losses"] for s in summary(first)] == [[], ["its chapters"], ["its chapters"], []]


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ('[{"input": "a", "output": "b", "state": "done"}]', True),
        ("[]", True),
        ("[1]", False),
        ('{"input": 1}', False),
        ("a letter", False),
    ],
)
def test_only_what_a_batch_wrote_is_replaced(tmp_path: Path, text: str, own: bool) -> None:
    (tmp_path / "batch.json").write_text(text)
    assert is_batch_record(tmp_path / "batch.json") == own
