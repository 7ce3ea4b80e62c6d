"""Files get their names in one step: stopped at any point of it, the next call of the same command ends it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from restore import placing
from restore.errors import OutputError
from restore.pipeline import read_pipeline
from restore.run.commit import commit, finish_interrupted, targets_of
from restore.run.inputs import hash_input
from restore.run.job import Job
from restore.run.journal import Journal
from restore.run.parts import PartsFolder, done_file, parts_dir

CALLS = ("replace", "rename", "unlink", "rmdir", "mkdir", "fsync", "link", "open")
ENDED = ("out.mkv", "out.mkv.framemd5", "page.html", "record.json", "side.mp4")


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody pulls the plug here."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


class KilledError(BaseException):
    """The process is gone: nothing it does later counts."""


@contextmanager
def killed_at(step: int, *, before: bool) -> Iterator[list[str]]:
    """Kill this "process" at its nth call of the file system, before or after the call; all later ones fail, as those
    of clean-up code would if the process were gone. Gives the calls that were made."""
    made: list[str] = []

    def wrapped(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def go(*given: Any, **named: Any) -> Any:
            if len(made) > step:
                raise KilledError
            made.append(name)
            if before and len(made) > step:
                raise KilledError
            found = call(*given, **named)
            if not before and len(made) > step:
                if name == "open":
                    os.close(found)
                raise KilledError
            return found

        return go

    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, wrapped(name, getattr(os, name)))
        patch.setattr(placing, "_rename_new", wrapped("renameat2", placing._rename_new))
        yield made


def lacking(*_: object, **__: object) -> None:
    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


FORMS: dict[str, dict[str, str]] = {
    "plain": {},
    "json": {"report": "record.json"},
    "compare": {"compare": "side.mp4"},
    "page": {"page": "page.html"},
    "archive": {},
    "all": {"report": "record.json", "compare": "side.mp4", "page": "page.html"},
}


def job_in(folder: Path, form: str = "all", **more: Any) -> Job:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "in.avi").write_bytes(b"input")
    text = '[output]\nuse = "archive"\n' if form in ("archive", "all") else ""
    (folder / "p.toml").write_text(text)
    spec = read_pipeline(folder / "p.toml")
    asked = {name: folder / "out" / file for name, file in FORMS[form].items()}
    (folder / "out").mkdir(exist_ok=True)
    return Job(spec, (folder / "in.avi",), folder / "out" / "out.mkv", **asked, **more)


def content(role: str) -> bytes:
    return role.encode() * 1000


def finished(job: Job) -> Journal:
    """A run whose files are all made; none has its name."""
    journal = Journal(job.output, {"input": "a"})
    (journal.folder / "segment-00000.nut").write_bytes(b"packets")
    for role, target in targets_of(job).items():
        (journal.room(role) / target.name).write_bytes(content(role))
    return journal


def name_all(job: Job) -> None:
    journal = finished(job)
    try:
        commit(journal, job, job.inputs, hash_input(job.inputs))
    finally:
        journal.release()


def assert_all_there(job: Job) -> None:
    targets = targets_of(job)
    assert sorted(p.name for p in job.output.parent.iterdir()) == sorted(
        t.name for t in targets.values()
    )
    assert {role: t.read_bytes() for role, t in targets.items()} == {r: content(r) for r in targets}


@pytest.mark.parametrize("form", FORMS)
def test_all_files_get_their_names_and_nothing_else_stays(tmp_path: Path, form: str) -> None:
    job = job_in(tmp_path, form)
    name_all(job)
    assert_all_there(job)
    assert finish_interrupted(job) is None


@pytest.mark.parametrize(
    ("form", "way", "before"),
    [
        *(("plain", way, True) for way in ("renameat2", "link", "reserve", "overwrite")),
        *(("all", way, False) for way in ("renameat2", "link", "reserve", "overwrite")),
    ],
)
def test_killed_at_any_call_the_same_command_ends_it(
    tmp_path: Path, form: str, way: str, before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way in ("link", "reserve"):
        monkeypatch.setattr(placing, "_rename_new", lacking)
    if way == "reserve":
        monkeypatch.setattr(placing, "_link_new", lacking)
    step, ended, committed = 0, False, 0
    while not ended:
        job = job_in(tmp_path / str(step), form, overwrite=way == "overwrite")
        if way == "overwrite":
            for target in targets_of(job).values():
                target.write_bytes(b"old")
        journal = finished(job)
        try:
            with killed_at(step, before=before) as made:
                commit(journal, job, job.inputs, hash_input(job.inputs))
            ended = True
        except KilledError:
            pass
        finally:
            journal.release()
        said = finish_interrupted(job)
        if said is None and not all(t.exists() for t in targets_of(job).values()):
            # Not yet committed: the run goes on from its segments.
            assert committed == 0, f"step {step}, {made}"
            assert (parts_dir(job.output) / "segment-00000.nut").exists()
        elif said is None and way == "overwrite" and job.output.read_bytes() == b"old":
            assert committed == 0, f"step {step}, {made}"
        else:
            assert_all_there(job)
            committed += 1
        step += 1
    assert committed > 3 * len(targets_of(job))


def test_killed_again_while_it_ends_it(tmp_path: Path) -> None:
    step, ended = 0, False
    while not ended:
        job = job_in(tmp_path / str(step))
        stopped_before_names(job)
        try:
            with killed_at(step, before=False):
                finish_interrupted(job)
            ended = True
        except KilledError:
            pass
        finish_interrupted(job)
        assert_all_there(job)
        step += 1
    assert step > 3 * len(targets_of(job))


@pytest.mark.parametrize("role", ["checksums", "comparison", "page", "record", "film"])
def test_a_file_that_appeared_meanwhile_stays(tmp_path: Path, role: str) -> None:
    job = job_in(tmp_path)
    target = targets_of(job)[role]
    target.write_bytes(b"precious")
    with pytest.raises(OutputError, match=f"{target.name}: exists already: it was made while"):
        name_all(job)
    assert target.read_bytes() == b"precious"
    assert [p.name for p in job.output.parent.iterdir() if p.is_file()] == [target.name]


@pytest.mark.parametrize("role", ["checksums", "comparison", "page", "record", "film"])
def test_a_file_that_appeared_after_the_kill_stays_until_it_is_moved(
    tmp_path: Path, role: str
) -> None:
    job = job_in(tmp_path)
    journal = finished(job)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("restore.run.commit.give_name", kill)
        with pytest.raises(KilledError):
            commit(journal, job, job.inputs, hash_input(job.inputs))
    journal.release()
    target = targets_of(job)[role]
    target.write_bytes(b"precious")
    with pytest.raises(OutputError, match="move it away"):
        finish_interrupted(job)
    assert target.read_bytes() == b"precious"
    target.rename(tmp_path / "moved")
    assert finish_interrupted(job) == list(targets_of(job).values())
    assert_all_there(job)


def kill(*_: object, **__: object) -> None:
    raise KilledError


def stopped_before_names(job: Job) -> None:
    journal = finished(job)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("restore.run.commit.give_name", kill)
        with pytest.raises(KilledError):
            commit(journal, job, job.inputs, hash_input(job.inputs))
    journal.release()


def test_another_command_does_not_end_it(tmp_path: Path) -> None:
    job = job_in(tmp_path)
    stopped_before_names(job)
    assert finish_interrupted(replace(job, compare=None)) is None
    assert finish_interrupted(replace(job, backend="torch-fp32")) is None
    assert [p.name for p in job.output.parent.iterdir()] == ["out.mkv.parts"]


def test_another_input_does_not_end_it(tmp_path: Path) -> None:
    job = job_in(tmp_path)
    stopped_before_names(job)
    job.inputs[0].write_bytes(b"other")
    assert finish_interrupted(job) is None


def test_what_was_damaged_gets_no_name(tmp_path: Path) -> None:
    job = job_in(tmp_path)
    stopped_before_names(job)
    (parts_dir(job.output) / "film" / "out.mkv").write_bytes(b"damaged")
    assert finish_interrupted(job) is None
    assert [p.name for p in job.output.parent.iterdir()] == ["out.mkv.parts"]


def test_a_folder_that_was_moved_is_ended_where_it_is(tmp_path: Path) -> None:
    job = job_in(tmp_path / "a")
    stopped_before_names(job)
    (tmp_path / "a").rename(tmp_path / "b")
    job = job_in(tmp_path / "b")
    assert finish_interrupted(job) == list(targets_of(job).values())
    assert_all_there(job)


@pytest.mark.parametrize("step", ["copy", "name", None])
def test_another_file_system_gets_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str | None
) -> None:
    """Across file systems the kernel refuses to rename."""
    give = placing.give_name

    def refuse(made: Path, target: Path, *, overwrite: bool) -> None:
        if made.parent != target.parent and target.name == "side.mp4":
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        if step == "name" and target.name == "side.mp4":
            raise KilledError
        give(made, target, overwrite=overwrite)

    monkeypatch.setattr("restore.run.commit.give_name", refuse)
    job = job_in(tmp_path)
    with monkeypatch.context() as patch:
        if step == "copy":
            patch.setattr("restore.run.commit.shutil.copyfile", kill)
        if step is None:
            name_all(job)
        else:
            with pytest.raises(KilledError):
                name_all(job)
    step = None
    finish_interrupted(job)
    assert_all_there(job)


def test_another_process_at_work_is_told(tmp_path: Path) -> None:
    job = job_in(tmp_path)
    stopped_before_names(job)
    parts = PartsFolder(job.output)
    with pytest.raises(OutputError, match="another process is making this file now"):
        finish_interrupted(job)
    parts.release()
    assert finish_interrupted(job) is not None


def test_a_file_of_the_user_under_the_journals_last_name_stays(tmp_path: Path) -> None:
    job = job_in(tmp_path, "plain")
    done_file(job.output).write_bytes(b"precious")
    name_all(job)
    assert finish_interrupted(job) is None
    assert done_file(job.output).read_bytes() == b"precious"
    assert job.output.read_bytes() == content("film")
    assert not parts_dir(job.output).exists()
