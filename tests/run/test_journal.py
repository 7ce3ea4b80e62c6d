"""The journal takes over only what is whole and of the same subject."""

from pathlib import Path

import pytest

from restore.errors import OutputError
from restore.index import Segment
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
