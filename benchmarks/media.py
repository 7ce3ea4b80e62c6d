"""Every file of some folders through an empty chain into mkv and mp4, judged by a program that is not ours.

python benchmarks/media.py FOLDER... [--write docs/media.md] [--name PATTERN]

Frame times, sound and samples of source and output are the static FFmpeg's (oracle.py), and what restore claims in its
record of the run (`--json`) must agree with them. Columns: frames in and out; the largest error of a frame's time; the largest change of a sound's start against the
picture; samples of sound in and out; frames of the lossless output that equal the source's in every sample; streams,
shape and tags of the output; and what the static FFmpeg complains of while it decodes the output (nothing, or the file
is not ok). "ok" needs all of it; a file that is refused must be refused in one line.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import oracle
from measure import restore
from rich.console import Console
from rich.table import Table

TARGETS = {
    "mkv": '[output]\ncodec = "ffv1"\n',
    "mp4": '[output]\ncodec = "libx264"\npreset = "ultrafast"\n',
}
"""Container and pipeline."""

TICK_MS = 1.0
"""Matroska counts milliseconds."""


@dataclass
class Row:
    """One file in one container."""

    file: str
    container: str
    verdict: str = "ok"
    frames: str = "-"
    pts_error: str = "-"
    offset_error: str = "-"
    samples: str = "-"
    exact: str = "-"
    streams: str = "-"
    shape: str = "-"
    tags: str = "-"
    notes: list[str] = field(default_factory=list)
    """What restore said it would do with the picture, or why it refused."""
    faults: list[str] = field(default_factory=list)

    def cells(self) -> list[str]:
        verdict = "; ".join(["**not ok**", *self.faults]) if self.faults else self.verdict
        return [
            self.file, self.container, verdict, self.frames, self.pts_error, self.offset_error,
            self.samples, self.exact, self.streams, self.shape, self.tags,
        ]  # fmt: skip


HEADS = (
    *("file", "to", "verdict", "frames in/out", "max pts error, ms", "max A/V offset error, ms"),
    *("sound samples in/out", "exact frames", "streams out", "size, SAR", "range/matrix/primaries/transfer/siting"),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="+")
    parser.add_argument("--name", default="*", help="only files whose names match this")
    parser.add_argument("--write", type=Path, help="Markdown file for the table")
    options = parser.parse_args()
    files = [f for d in options.folder for f in sorted(d.glob(options.name)) if f.is_file()]
    rows: list[Row] = []
    console = Console(soft_wrap=True)
    with tempfile.TemporaryDirectory() as folder:
        for file in files:
            before = oracle.read(file)
            for container in TARGETS:
                row = convert(file, before, container, Path(folder))
                rows.append(row)
                console.print(" | ".join(row.cells()), markup=False)
    bad = sum(bool(r.faults) for r in rows)
    table = Table("files", "outputs", "ok or refused", "not ok")
    table.add_row(*map(str, (len(files), len(rows), len(rows) - bad, bad)))
    console.print(table)
    if options.write:
        options.write.write_text(page(rows), "utf-8")
    raise SystemExit(bad > 0)


def convert(file: Path, before: oracle.File, container: str, folder: Path) -> Row:
    """Run restore, read what came out, compare."""
    row = Row(file.name, container)
    pipeline, target = folder / "empty.toml", folder / f"out.{container}"
    pipeline.write_text(TARGETS[container])
    target.unlink(missing_ok=True)
    record = folder / "record.json"
    record.unlink(missing_ok=True)
    done = restore("run", pipeline, file, target, "-v", "--json", record)
    if done.code:
        lines = done.text.strip().splitlines()
        row.verdict = f"refused: {lines[-1].partition('error: ')[2].replace(str(file), 'it')}"
        if done.code != 2 or target.exists() or not row.verdict.removeprefix("refused: "):
            row.faults.append(f"exit code {done.code}: {lines[-1]}")
        elif before.picture.times:
            row.faults.append(f"{row.verdict}, but it holds {len(before.picture.times)} frames")
        return row
    marks = ("deinterlac", "telecin", "scan:", "crop", "rotat", "turned")
    row.notes = [s for s in done.text.splitlines() if any(m in s for m in marks)]
    judge(row, file, target, before, oracle.read(target), json.loads(record.read_text("utf-8")))
    return row


def judge(
    row: Row,
    file: Path,
    target: Path,
    before: oracle.File,
    after: oracle.File,
    claims: dict[str, Any],
) -> None:
    """Fill the row; every mismatch is a fault."""
    seen, made = before.picture, after.picture
    compare_claims(row, after, claims)
    row.frames = f"{len(seen.times)}/{len(made.times)}"
    row.streams = ", ".join(after.streams)
    row.shape = f"{made.size} {made.sar}"
    row.tags = made.tags
    put_in = {f["index"] for f in claims["repaired_frames"] if not f["decoded"]}
    times = [t for i, t in enumerate(made.times) if i not in put_in]
    if put_in:
        row.frames += f" ({len(put_in)} put in)"
    if len(seen.times) != len(times):
        row.faults.append(f"{len(seen.times)} frames became {len(times)}")
        return
    trusted = set(increasing(seen.times))
    if repaired := claims["repaired_time_stamps"]:
        trusted -= closest(times, [r["to_ms"] for r in repaired], float(times[0]) * 1000, claims)
    if not trusted:
        trusted = {0}
    shifts = [times[i] - seen.times[i] for i in sorted(trusted)]
    shift = statistics.median(shifts)
    error = float(max(abs(s - shift) for s in shifts)) * 1000
    row.pts_error = f"{error:.3f}"
    if left_out := len(seen.times) - len(trusted):
        row.pts_error += f" ({left_out} stamps that do not increase or were repaired left out)"
    if error > TICK_MS:
        row.faults.append(f"a frame is {error:.1f} ms off")
    if any(b <= a for a, b in zip(made.times, made.times[1:], strict=False)):
        row.faults.append("times do not increase")
    compare_sound(row, file, target, before, after, shift)
    if "unknown" in made.tags:
        row.faults.append("a colour tag is missing")
    if shape(made.sar) != shape(seen.sar):
        row.faults.append(f"SAR {seen.sar} became {made.sar}")
    if row.container == "mkv":
        compare_samples(row, file, target, made.pixel_format)
    if after.warnings:
        row.faults.append(f"FFmpeg warns {len(after.warnings)} times: {after.warnings[0]}")


def closest(
    times: list[Fraction], repaired_ms: list[int], first_ms: float, claims: dict[str, Any]
) -> set[int]:
    """Numbers of the frames whose stamps restore says it repaired; it names them on the input's clock."""
    start = claims["scenes"][0]["pts_ms"]
    wanted = {round(r - start) for r in repaired_ms}
    return {
        i
        for i, t in enumerate(times)
        if {round(float(t) * 1000 - first_ms) + d for d in (-1, 0, 1)} & wanted
    }


def compare_claims(row: Row, after: oracle.File, claims: dict[str, Any]) -> None:
    """What restore says of its output must be what FFmpeg finds in it."""
    said = claims["verification"]
    if said["frames"] != len(after.picture.times):
        row.faults.append(
            f"restore says {said['frames']} frames, FFmpeg finds {len(after.picture.times)}"
        )
    counts = list(said["audio_samples"].values())
    found = [s.samples for s in after.sounds]
    slack = max((s.rate // 1000 for s in after.sounds), default=0)
    if len(counts) != len(found) or any(
        abs(a - b) > slack for a, b in zip(counts, found, strict=False)
    ):
        row.faults.append(f"restore says {counts} samples of sound, FFmpeg finds {found}")


def increasing(times: list[Fraction]) -> list[int]:
    """Frames whose stamp is above all before and below all after: those that no repair may touch."""
    low, high = [], []
    top = Fraction(-(10**9))
    for t in times:
        low.append(t > top)
        top = max(top, t)
    bottom = Fraction(10**12)
    for t in reversed(times):
        high.append(t < bottom)
        bottom = min(bottom, t)
    return [i for i, (a, b) in enumerate(zip(low, reversed(high), strict=True)) if a and b]


def compare_sound(
    row: Row, file: Path, target: Path, before: oracle.File, after: oracle.File, shift: Fraction
) -> None:
    if len(before.sounds) != len(after.sounds):
        row.faults.append(f"{len(before.sounds)} sounds became {len(after.sounds)}")
        return
    errors, counts = [], []
    for n, (old, new) in enumerate(zip(before.sounds, after.sounds, strict=True)):
        counts.append(f"{old.samples}/{new.samples}")
        if old.start is None or new.start is None:
            continue
        # A copy may play its encoder's delay, which the source hid, before the first sample: the sound itself decides.
        moved = round((new.start - old.start - shift) * new.rate)
        a, b = oracle.samples(file, n), oracle.samples(target, n)
        later = oracle.lag(a, b, 0, new.rate // 5) if len(a) and len(b) else 0
        errors.append(abs(later + moved) / new.rate * 1000)
        if old.samples - new.samples > new.rate // 1000:
            row.faults.append(f"sound {n} lost {old.samples - new.samples} samples")
    if counts:
        row.samples = ", ".join(counts)
    if errors:
        row.offset_error = f"{max(errors):.3f}"
        if max(errors) > TICK_MS:
            row.faults.append(f"sound is {max(errors):.1f} ms off")


def compare_samples(row: Row, file: Path, target: Path, pixel_format: str) -> None:
    """Frames whose samples survived, all of them, bit for bit."""
    pairs = list(
        zip(oracle.hashes(file, pixel_format), oracle.hashes(target, pixel_format), strict=False)
    )
    same = sum(a == b for a, b in pairs)
    row.exact = f"{same} of {len(pairs)}"


def shape(sar: str) -> Fraction:
    """0/1 means that nothing is said, which means square."""
    found = Fraction(sar.replace(":", "/"))
    return found or Fraction(1)


def page(rows: list[Row]) -> str:
    """docs/media.md."""
    text = [
        "# What comes out of real files",
        "",
        "Every file through an empty chain (decode, encode, mux, verify) into Matroska (FFV1) and MP4 (x264), judged by",
        "the static FFmpeg, which shares no code with restore's media layer: it decodes source and output, and its frame",
        "times, sample counts, hashes, tags and warnings are compared. Made by `python benchmarks/media.py FOLDER...",
        "--write docs/media.md`; the columns are explained there.",
        "",
        f"{sum(not r.faults for r in rows)} of {len(rows)} outputs are as they should be.",
        "",
        "| " + " | ".join(HEADS) + " |",
        "|" + "---|" * len(HEADS),
        *("| " + " | ".join(c.replace("|", "/") for c in r.cells()) + " |" for r in rows),
        "",
    ]
    notes = sorted({f"- {r.file}: {n}" for r in rows for n in r.notes})
    return "\n".join([*text, *(["What was done to the picture:", "", *notes, ""] if notes else [])])


if __name__ == "__main__":
    main()
