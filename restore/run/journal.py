"""What is kept beside the output until the run is through: finished segments, the index, the terms.

out.mkv.parts/
    journal.json          terms of the run, each finished segment with its hash; once all is made, what gets which name
    index.json            what was seen of the input, once the index is complete
    segment-00000.nut     a finished segment
    side-*-00000.nut      the same part of the comparison, where one is made
    film/ record/ ...     what the run was asked for, whole, until it gets its name (see run.commit)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from restore.index import Index, Segment
from restore.placing import is_plain, sync
from restore.run.inputs import hash_file
from restore.run.parts import INDEX, JOURNAL, ROLES, PartsFolder, done_file, is_done_file


class Journal:
    """The folder of one run. One process holds it at a time."""

    def __init__(self, output: Path, subject: dict[str, Any]) -> None:
        """`subject`: hashes of all that decides the picture. Where a journal of the same subject lies, its
        segments are taken over; another one's are thrown away (`replaced` says what differed), and so are those of one
        that is damaged (`damaged` says which file).
        Raises OutputError if another process is at work there or the folder cannot be made."""
        self._parts = PartsFolder(output)
        self.folder = self._parts.path
        self.replaced: list[str] = []
        self.damaged: list[str] = []
        self._terms: dict[str, Any] = {}
        self._segments: dict[str, dict[str, Any]] = {}
        self._commit: dict[str, Any] | None = None
        try:
            if is_done_file(done_file(output)):
                self._parts.clear(set())
                done_file(output).unlink()
            self._read(subject)
            self._subject = subject
            names = ("file", "beside")
            known = {str(e[name]) for e in self._segments.values() for name in names if name in e}
            self._parts.clear({JOURNAL, INDEX} | known)
            self._write()
        except BaseException:
            self.release()
            raise

    def _read(self, subject: dict[str, Any]) -> None:
        try:
            data = self._parts.read(JOURNAL)
            if data is not None:
                _check(data)
        except ValueError as error:
            self.damaged.append(str(error))
            data = None
        if data is None:
            self._parts.clear(set())
            return
        old = data["subject"]
        if old == subject:
            self._terms, self._segments = data["terms"], data["segments"]
            return
        self.replaced = sorted(
            k for k in old.keys() | subject.keys() if old.get(k) != subject.get(k)
        )
        self._parts.clear(set())

    def terms(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """The terms of the run (device class, precision, threads): an earlier run's where segments of it are
        kept, else `wanted`. The same terms give the same bytes."""
        if not self._segments or not self._terms:
            self._terms = wanted
            self._write()
        return self._terms

    def fix(self, name: str, value: Any) -> None:
        """One more term, known only when the work begins."""
        if self._terms.get(name) != value:
            self._terms = {**self._terms, name: value}
            self._write()

    @property
    def subject(self) -> dict[str, Any]:
        """What the run is about."""
        return self._subject

    @property
    def kept_terms(self) -> dict[str, Any]:
        """The terms of the run, once they are fixed."""
        return self._terms

    @property
    def committed(self) -> bool:
        """Whether all is made, so that nothing is left but names to give."""
        return self._commit is not None

    @property
    def finished(self) -> int:
        return len(self._segments)

    def segment(self, segment: Segment, beside: str | None = None) -> Path | None:
        """The finished file of a segment, if it is there, whole, and of the same frames; `beside`: and its file of that
        kind too."""
        entry = self._segments.get(str(segment.number))
        if entry is None or entry["frames"] != [segment.first, segment.stop]:
            return None
        path = self.file(segment)
        if entry["file"] != path.name or not _is_whole(path, entry["sha256"]):
            return None
        if beside is not None:
            other = self.file(segment, beside)
            if entry.get("beside") != other.name or not _is_whole(other, entry["beside_sha256"]):
                return None
        return path

    def file(self, segment: Segment, kind: str = "segment") -> Path:
        """Where a segment belongs; it must appear there whole, by a rename."""
        return self.folder / f"{kind}-{segment.number:05d}.nut"

    def finish(self, segment: Segment, beside: str | None = None) -> Path:
        """Take the segment's file as finished, and its file of the kind `beside`."""
        path = self.file(segment)
        sync(path)
        entry = {
            "file": path.name,
            "frames": [segment.first, segment.stop],
            "sha256": hash_file(path),
        }
        if beside is not None:
            other = self.file(segment, beside)
            sync(other)
            entry |= {"beside": other.name, "beside_sha256": hash_file(other)}
        self._segments[str(segment.number)] = entry
        self._write()
        return path

    def load_index(self) -> Index | None:
        """The complete index of an earlier run over the same input."""
        try:
            data = self._parts.read(INDEX)
            return None if data is None else Index.from_json(data)
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
            known = isinstance(error, ValueError) and str(error).startswith(INDEX)
            self.damaged.append(str(error) if known else f"{INDEX}: is damaged or was edited")
            return None

    def save_index(self, index: Index) -> None:
        self._parts.write(INDEX, index.to_json())

    def room(self, role: str) -> Path:
        """An empty folder for what the run makes in this role (see run.parts.ROLES)."""
        return self._parts.room(role)

    def commit(self, entry: dict[str, Any]) -> None:
        """Take down that all is made, and what gets which name. From here on the run is finished, whatever happens."""
        self._commit = entry
        self._write()

    def give_up(self) -> None:
        """Remove what a run that was broken off does not need again: all where no segment is finished, nothing after
        `commit`. Raises OSError, OutputError."""
        if self._commit is None and not self._segments:
            self.remove()
        elif self._commit is None:
            names = {p.name for p in self.folder.iterdir()} - set(ROLES)
            self._parts.clear({n for n in names if not n.endswith((".part", ".tmp"))})

    def remove(self, *, finished: bool = False) -> None:
        """The run is through, or has nothing that is worth to be kept."""
        self._parts.remove(finished=finished)

    def release(self) -> None:
        """Let another process go on."""
        self._parts.release()

    def _write(self) -> None:
        data = {"subject": self._subject, "terms": self._terms, "segments": self._segments}
        self._parts.write(
            JOURNAL, data if self._commit is None else {**data, "commit": self._commit}
        )


def _is_whole(path: Path, sha256: str) -> bool:
    return is_plain(path) and hash_file(path) == sha256


def _check(data: dict[str, Any]) -> None:
    """Raises ValueError where a journal does not hold what this program writes."""
    segments = data.get("segments")
    good = isinstance(data.get("subject"), dict) and isinstance(data.get("terms"), dict)
    good = good and isinstance(segments, dict)
    for entry in segments.values() if isinstance(segments, dict) else ():
        good = good and isinstance(entry, dict)
        good = good and {"file", "frames", "sha256"} <= entry.keys()
        good = good and ("beside" in entry) == ("beside_sha256" in entry)
        good = good and isinstance(entry["file"], str) and isinstance(entry.get("beside", ""), str)
    if not good:
        raise ValueError(f"{JOURNAL}: is damaged or was edited")
