"""The one step in which a run's files get their names.

All that a run was asked for is made in its folder first. Then the journal says so, and from there on the run is
finished: each file gets its name, the folder goes, and where that is stopped, the next call of the same command goes
on with it. A name that someone else gave to a file in the meantime stays his.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from restore.errors import OutputError
from restore.faults import cannot_write
from restore.interrupts import interrupts
from restore.io.framemd5 import sidecar_of
from restore.io.output import CONTAINERS, fitted_to
from restore.placing import give_name, is_plain, sync
from restore.run.inputs import hash_file, hash_input
from restore.run.job import Job
from restore.run.journal import Journal
from restore.run.parts import JOURNAL, ROLES, PartsFolder, done_file, parts_dir, read_sealed
from restore.run.report import is_aborted_record


def targets_of(job: Job) -> dict[str, Path]:
    """By role: every file that the job is to make, in the order in which they get their names."""
    asked = {
        "checksums": sidecar_of(job.output) if job.spec.output.use == "archive" else None,
        "comparison": job.compare,
        "page": job.page,
        "record": job.report,
        "film": job.output,
    }
    return {role: path for role in ROLES if (path := asked[role]) is not None}


def commit(journal: Journal, job: Job, inputs: Sequence[Path], content: str) -> None:
    """Give what lies in the journal's folder its names, and take the folder away. `inputs`: all files that were read,
    `content`: hash_input of them. Raises OutputError; the same command goes on then."""
    made = {}
    for role, target in targets_of(job).items():
        path = journal.folder / role / target.name
        if not path.exists():
            continue  # the page could not be made, which was told
        if not _may_have(job, role, target):
            raise _taken(role, target, job)
        try:
            sync(path)
            sync(path.parent)
        except OSError as error:
            raise cannot_write(path, error) from error
        made[role] = hash_file(path)
    files = [str(f.absolute()) for f in inputs]
    with interrupts.held():  # a signal finds the files made, or named
        journal.commit({"command": _command(job), "files": files, "content": content, "made": made})
        _give_names(journal.folder, job, made, resumed=False)
        journal.remove(finished=True)


def finish_interrupted(job: Job) -> list[Path] | None:
    """Go on where an earlier call of the same command was stopped after its files were finished: they get their names,
    and what is left of its folder goes. Returns the files of the job then; None where there is nothing of the kind.
    Raises OutputError."""
    folder, done = parts_dir(job.output), done_file(job.output)
    if not folder.is_dir() and not os.path.lexists(done):
        return None
    parts = PartsFolder(job.output, make=False) if folder.is_dir() else None
    try:
        left = _entry(done)
        if left is not None:
            # Every file had its name, and the clean-up had begun.
            if parts is not None:
                parts.clear(set())
                parts.remove()
            done.unlink(missing_ok=True)
            named = _is_same(left, job) and all(_is_named(job, *item) for item in _made(left))
            return list(targets_of(job).values()) if named else None
        entry = _entry(folder / JOURNAL)
        if parts is None or entry is None or not _is_same(entry, job):
            return None
        made = dict(_made(entry))
        if not all(_is_named(job, *m) or _is_whole(folder, job, *m) for m in made.items()):
            return None
        _give_names(folder, job, made, resumed=True)
        parts.remove(finished=True)
        return [targets_of(job)[role] for role in made]
    finally:
        if parts is not None:
            parts.release()


def _give_names(folder: Path, job: Job, made: dict[str, str], *, resumed: bool) -> None:
    targets = targets_of(job)
    for role in (role for role in ROLES if role in made):
        path, target = folder / role / targets[role].name, targets[role]
        copy = _copy_of(job, role, target)
        try:
            copy.unlink(missing_ok=True)  # of a call that was stopped while it copied
            if not (resumed and _is_named(job, role, made[role])):
                # What reserves a name is an empty file.
                empty = resumed and is_plain(target) and target.stat().st_size == 0
                _give(path, copy, target, overwrite=empty or _may_replace(job, role, target))
            sync(target.absolute().parent)
        except FileExistsError as error:
            raise _taken(role, target, job) from error
        except OSError as error:
            raise cannot_write(target, error) from error


def _give(path: Path, copy: Path, target: Path, *, overwrite: bool) -> None:
    """Rename, or copy to another file system first."""
    try:
        give_name(path, target, overwrite=overwrite)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        try:
            shutil.copyfile(path, copy)
            sync(copy)
            give_name(copy, target, overwrite=overwrite)
        except BaseException:
            with suppress(OSError):
                copy.unlink()
            raise


def _copy_of(job: Job, role: str, target: Path) -> Path:
    """Where a file is copied to before it gets its name on another file system: the same place in every call."""
    key = f"{os.fsencode(job.output.absolute()).hex()} {role}"
    return target.with_name(f".{hashlib.sha256(key.encode()).hexdigest()[:16]}.part")


def _may_have(job: Job, role: str, target: Path) -> bool:
    return _may_replace(job, role, target) or not os.path.lexists(target)


def _may_replace(job: Job, role: str, target: Path) -> bool:
    """Whether what stands there may go: with --overwrite anything, else the record of an earlier try."""
    return job.overwrite or (role == "record" and is_aborted_record(target, job.output))


def _taken(role: str, target: Path, job: Job) -> OutputError:
    option = {"comparison": "--compare ", "page": "--report ", "record": "--json "}.get(role, "")
    return OutputError(
        f"{option}{target}: exists already: it was made while the run was at work, and stays as it is; move it away and "
        f"give the same command again, which finishes from {parts_dir(job.output).name}"
    )


def _is_named(job: Job, role: str, sha256: str) -> bool:
    """Whether the file of this role has its name."""
    target = targets_of(job)[role]
    return is_plain(target) and hash_file(target) == sha256


def _is_whole(folder: Path, job: Job, role: str, sha256: str) -> bool:
    """Whether the file of this role waits for its name."""
    path = folder / role / targets_of(job)[role].name
    return is_plain(path) and not path.parent.is_symlink() and hash_file(path) == sha256


def _entry(path: Path) -> dict[str, Any] | None:
    """What `commit` wrote into a journal."""
    try:
        found = (read_sealed(path) or {}).get("commit")
    except ValueError:
        return None
    if not isinstance(found, dict) or not {"command", "files", "content", "made"} <= found.keys():
        return None
    return found if isinstance(found["made"], dict) else None


def _made(entry: dict[str, Any]) -> list[tuple[str, str]]:
    return [(role, str(entry["made"][role])) for role in ROLES if role in entry["made"]]


def _is_same(entry: dict[str, Any], job: Job) -> bool:
    """Whether it is of the same command, over inputs that are what they were, or gone."""
    command = _command(job)
    if entry["command"] != command or not set(entry["made"]) <= set(command["targets"]):
        return False
    files = [Path(str(f)) for f in entry["files"]]
    if not all(f.is_file() for f in files):
        return not any(f.exists() for f in files)
    return bool(hash_input(files) == entry["content"])


def _command(job: Job) -> dict[str, Any]:
    """What a command says that decides which files it makes and what is in them; names as seen from the output, so
    that a folder may be moved."""
    home = job.output.absolute().parent
    spec = job.spec
    output = fitted_to(spec.output, CONTAINERS.get(job.output.suffix.lower()))
    return {
        "inputs": [os.path.relpath(f.absolute(), home) for f in job.inputs],
        "pipeline": replace(spec, output=output).fingerprint(),
        "time range": [str(job.start), str(job.end)],
        "targets": {r: os.path.relpath(t.absolute(), home) for r, t in targets_of(job).items()},
        "engine": [job.device, job.backend, job.tile],
        "view": repr(job.view) if job.compare is not None else None,
    }
