"""The journal takes over only what is whole and of the same subject."""

import errno
import os
from fractions import Fraction
from pathlib import Path

import pytest

from restore.errors import OutputError
from restore.index import Index, Segment
from restore.run.journal import Journal
from restore.run.parts import parts_dir

SUBJECT = {"input": "a", "pipeline": "b"}
SEGMENT = Segment(0, 0, 30)


def finished(output: Path, content: bytes = b"packets") -> None:
    journal = Journal(output, SUBJECT)
    journal.terms({"threads": 2})
    journal.file(SEGMENT).write_bytes(content)
    journal.finish(SEGMENT)
    journal.release()


def test_a_finished_segment_is_taken_over(tmp_path: Path) -> None:
    finished(tmp_path / "out.mkv")
    journal = Journal(tmp_path / "out.mkv", SUBJECT)
    found = journal.segment(SEGMENT)
    assert found is not None
    assert found.read_bytes() == b"packets"
    assert journal.terms({"threads": 8}) == {"threads": 2}
    assert journal.replaced == []
    assert journal.segment(Segment(0, 0, 31)) is None
    journal.remove()
    assert not parts_dir(tmp_path / "out.mkv").exists()


def test_a_changed_subject_starts_afresh_and_says_what_changed(tmp_path: Path) -> None:
    finished(tmp_path / "out.mkv")
    journal = Journal(tmp_path / "out.mkv", {**SUBJECT, "input": "other"})
    assert journal.replaced == ["input"]
    assert journal.segment(SEGMENT) is None
    assert [p.name for p in journal.folder.iterdir()] == ["journal.json"]
    assert journal.terms({"threads": 8}) == {"threads": 8}
    journal.release()


def test_a_damaged_segment_is_made_again(tmp_path: Path) -> None:
    finished(tmp_path / "out.mkv")
    (parts_dir(tmp_path / "out.mkv") / "segment-00000.nut").write_bytes(b"packetz")
    journal = Journal(tmp_path / "out.mkv", SUBJECT)
    assert journal.segment(SEGMENT) is None
    journal.release()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"subject": {}}'])
def test_a_broken_journal_starts_afresh(tmp_path: Path, content: str) -> None:
    finished(tmp_path / "out.mkv")
    (parts_dir(tmp_path / "out.mkv") / "journal.json").write_text(content)
    journal = Journal(tmp_path / "out.mkv", SUBJECT)
    assert journal.segment(SEGMENT) is None
    journal.release()


def test_work_left_behind_is_cleared(tmp_path: Path) -> None:
    finished(tmp_path / "out.mkv")
    (parts_dir(tmp_path / "out.mkv") / "segment-00001.nut.part").write_bytes(b"half")
    journal = Journal(tmp_path / "out.mkv", SUBJECT)
    assert sorted(p.name for p in journal.folder.iterdir()) == ["journal.json", "segment-00000.nut"]
    journal.release()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "out.mkv", SUBJECT)
    with pytest.raises(OutputError, match="another process is making this file"):
        Journal(tmp_path / "out.mkv", SUBJECT)
    journal.release()
    Journal(tmp_path / "out.mkv", SUBJECT).release()


def put(path: Path, kind: str, outside: Path) -> None:
    """Something else in the place of a file."""
    whole = path.read_bytes()
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        (path / "deep").mkdir(parents=True)
    elif kind == "link":
        outside.write_bytes(whole)
        path.symlink_to(outside)
    elif kind == "deep":
        path.write_text("[" * 200_000)
    elif kind == "edited":
        path.write_bytes(whole.replace(b"30", b"31", 1))
    elif kind == "types":
        text = whole.decode().replace('"segment-00000.nut"', '["segment-00000.nut"]')
        path.write_text(text.replace("[[", "[").replace("[30]", '"30"'))
    elif kind == "half":
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "bytes":
        path.write_bytes(os.urandom(3000))


KINDS = ["pipe", "folder", "link", "deep", "edited", "types", "half", "bytes"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_journal_is_said_and_made_anew(tmp_path: Path, kind: str) -> None:
    finished(tmp_path / "out.mkv")
    put(parts_dir(tmp_path / "out.mkv") / "journal.json", kind, tmp_path / "outside")
    journal = Journal(tmp_path / "out.mkv", SUBJECT)
    assert journal.segment(SEGMENT) is None
    assert [d.partition(":")[0] for d in journal.damaged] == ["journal.json"]
    assert [p.name for p in journal.folder.iterdir()] == ["journal.json"]
    journal.release()
    again = Journal(tmp_path / "out.mkv", SUBJECT)
    assert again.damaged == []
    again.release()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_index_is_said_and_the_segments_stay(tmp_path: Path, kind: str) -> None:
    finished(tmp_path / "out.mkv")
    journal = Journal(tmp_path / "out.mkv", SUBJECT)
    journal.save_index(Index(Fraction(1, 25), pts=[30], durations=[30], types=["I"]))
    assert journal.load_index() is not None
    journal.release()
    put(parts_dir(tmp_path / "out.mkv") / "index.json", kind, tmp_path / "outside")
    if kind == "types":  # nothing in it that was changed above
        (parts_dir(tmp_path / "out.mkv") / "index.json").write_text('{"pts": "30"}')
    journal = Journal(tmp_path / "out.mkv", SUBJECT)
    if (journal.folder / "index.json").exists():  # what is no file went with the first look
        assert journal.load_index() is None
        assert [d.partition(":")[0] for d in journal.damaged] == ["index.json"]
    assert journal.segment(SEGMENT) is not None
    journal.release()


@pytest.mark.parametrize("name", ["segment-00000.nut", "journal.json.tmp"])
def test_no_link_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    finished(tmp_path / "out.mkv")
    (tmp_path / "precious").write_bytes(b"packets")
    path = parts_dir(tmp_path / "out.mkv") / name
    path.unlink(missing_ok=True)
    path.symlink_to(tmp_path / "precious")
    journal = Journal(tmp_path / "out.mkv", SUBJECT)
    assert (journal.segment(SEGMENT) is None) == (name == "segment-00000.nut")
    journal.terms({"threads": 3})
    assert (tmp_path / "precious").read_bytes() == b"packets"
    journal.remove()
    assert (tmp_path / "precious").read_bytes() == b"packets"


def test_a_folder_of_the_user_is_not_touched(tmp_path: Path) -> None:
    parts_dir(tmp_path / "out.mkv").mkdir()
    (parts_dir(tmp_path / "out.mkv") / "letters.txt").write_text("precious")
    with pytest.raises(OutputError, match=r"found letters\.txt; move that away"):
        Journal(tmp_path / "out.mkv", SUBJECT)
    assert (parts_dir(tmp_path / "out.mkv") / "letters.txt").read_text() == "precious"


@pytest.mark.parametrize("kind", ["link", "file"])
def test_what_is_no_folder_is_refused(tmp_path: Path, kind: str) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "segment-00000.nut").write_bytes(b"precious")
    if kind == "link":
        parts_dir(tmp_path / "out.mkv").symlink_to(tmp_path / "home")
    else:
        parts_dir(tmp_path / "out.mkv").write_bytes(b"precious")
    with pytest.raises(OutputError, match="found a file or a link"):
        Journal(tmp_path / "out.mkv", SUBJECT)
    assert (tmp_path / "home" / "segment-00000.nut").read_bytes() == b"precious"


def test_a_full_disk_is_one_sentence_and_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "out.mkv", SUBJECT)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match=r"journal\.json: cannot be written: No space left"):
            journal.terms({"threads": 2})
    assert [p.name for p in journal.folder.iterdir()] == ["journal.json"]
    journal.release()
