"""What is kept beside the output until the run is through: finished segments, the index, the terms.

out.mkv.parts/
    journal.json          terms of the run, and each finished segment with its hash
    index.json            what was seen of the input, once the index is complete
    segment-00000.nut     a finished segment
    side-*-00000.nut      the same part of the comparison, where one is made
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from restore.errors import OutputError
from restore.faults import cannot_write
from restore.index import Index, Segment

_WHOLE_FILE_LIMIT = 1 << 30
_SAMPLES = 256
_SAMPLE_BYTES = 1 << 20


def hash_file(path: Path) -> str:
    """SHA-256 of a file. Beyond 1 GiB, of its size and 256 evenly spaced MiB: reading an 80 GB capture
    twice would cost more than resuming saves."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        if size <= _WHOLE_FILE_LIMIT:
            while chunk := file.read(_SAMPLE_BYTES):
                digest.update(chunk)
        else:
            for k in range(_SAMPLES):
                file.seek((size - _SAMPLE_BYTES) * k // (_SAMPLES - 1))
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()


def parts_dir(output: Path) -> Path:
    return output.with_name(output.name + ".parts")


class Journal:
    """The folder of one run. One process holds it at a time."""

    def __init__(self, output: Path, subject: dict[str, Any]) -> None:
        """`subject`: hashes of all that decides the picture. Where a journal of the same subject lies, its
        segments are taken over; another one's are thrown away (`replaced` says what differed).
        Raises OutputError if another process is at work there or the folder cannot be made."""
        self.folder = parts_dir(output)
        self.replaced: list[str] = []
        self._terms: dict[str, Any] = {}
        self._segments: dict[str, dict[str, Any]] = {}
        try:
            self.folder.mkdir(exist_ok=True)
            self._lock = os.open(self.folder, os.O_RDONLY)
        except OSError as error:
            raise cannot_write(self.folder, error) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise OutputError(
                f"{output}: another process is making this file now; wait for it or choose another name"
            ) from error
        self._read(subject)
        self._subject = subject
        for leftover in self.folder.iterdir():
            known = {
                name
                for entry in self._segments.values()
                for name in (entry["file"], entry.get("beside"))
            }
            if leftover.name not in {"journal.json", "index.json"} | known:
                leftover.unlink()
        self._write()

    def _read(self, subject: dict[str, Any]) -> None:
        try:
            data = json.loads((self.folder / "journal.json").read_text())
            old, self._terms = data["subject"], data["terms"]
            segments = data["segments"]
        except (OSError, ValueError, KeyError, TypeError):
            (self.folder / "index.json").unlink(missing_ok=True)
            return
        if old == subject:
            self._segments = segments
            return
        self._terms = {}
        self.replaced = sorted(
            k for k in old.keys() | subject.keys() if old.get(k) != subject.get(k)
        )
        (self.folder / "index.json").unlink(missing_ok=True)

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
    def finished(self) -> int:
        return len(self._segments)

    def segment(self, segment: Segment, beside: str | None = None) -> Path | None:
        """The finished file of a segment, if it is there, whole, and of the same frames; `beside`: and its file of that
        kind too."""
        entry = self._segments.get(str(segment.number))
        if entry is None or entry["frames"] != [segment.first, segment.stop]:
            return None
        path = self.folder / str(entry["file"])
        if not path.is_file() or hash_file(path) != entry["sha256"]:
            return None
        if beside is not None:
            other = self.file(segment, beside)
            if entry.get("beside") != other.name or not other.is_file():
                return None
            if hash_file(other) != entry["beside_sha256"]:
                return None
        return path

    def file(self, segment: Segment, kind: str = "segment") -> Path:
        """Where a segment belongs; it must appear there whole, by a rename."""
        return self.folder / f"{kind}-{segment.number:05d}.nut"

    def finish(self, segment: Segment, beside: str | None = None) -> Path:
        """Take the segment's file as finished, and its file of the kind `beside`."""
        path = self.file(segment)
        _sync(path)
        entry = {
            "file": path.name,
            "frames": [segment.first, segment.stop],
            "sha256": hash_file(path),
        }
        if beside is not None:
            other = self.file(segment, beside)
            _sync(other)
            entry |= {"beside": other.name, "beside_sha256": hash_file(other)}
        self._segments[str(segment.number)] = entry
        self._write()
        return path

    def load_index(self) -> Index | None:
        """The complete index of an earlier run over the same input."""
        try:
            return Index.from_json(json.loads((self.folder / "index.json").read_text()))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def save_index(self, index: Index) -> None:
        self._replace("index.json", index.to_json())

    def remove(self) -> None:
        """The run is through, or never began."""
        shutil.rmtree(self.folder)
        self.release()

    def release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _write(self) -> None:
        self._replace(
            "journal.json",
            {"subject": self._subject, "terms": self._terms, "segments": self._segments},
        )

    def _replace(self, name: str, data: dict[str, Any]) -> None:
        work = self.folder / f"{name}.tmp"
        work.write_text(json.dumps(data))
        _sync(work)
        work.replace(self.folder / name)


def hash_all(paths: Iterable[Path]) -> str:
    """One hash over several files, in the order given."""
    return hashlib.sha256("".join(hash_file(p) for p in paths).encode()).hexdigest()


def hash_input(files: Sequence[Path]) -> str:
    """One hash over the files of a source, in order. Of very many files (images), beyond 1 GiB together, only the
    sizes and the first and last bytes are read."""
    sizes = [p.stat().st_size for p in files]
    share = _WHOLE_FILE_LIMIT // max(1, len(files)) // 2
    if sum(sizes) <= _WHOLE_FILE_LIMIT or share > _SAMPLE_BYTES:
        return hash_all(files)
    digest = hashlib.sha256(str(sizes).encode())
    for path, size in zip(files, sizes, strict=True):
        with path.open("rb") as file:
            digest.update(file.read(share))
            file.seek(max(0, size - share))
            digest.update(file.read(share))
    return digest.hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
