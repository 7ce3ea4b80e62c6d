"""Many damaged and hostile files through the media layer, each in a process of its own; the docs are made of it.

python benchmarks/fuzz.py [FOLDER ...] --count 10000 --state STATE --write docs/reliability.md
python benchmarks/fuzz.py --count 10000 --state STATE --minutes 20     goes on where an earlier call stopped
python benchmarks/fuzz.py --only 1234 --state STATE                    one input again, even if it was tried

STATE is a folder: the clips, the results so far (results.jsonl) and the inputs that failed (found/).
Input N of a seed is the same bytes everywhere the same clips are. Exit 1 where anything but 'ok' and 'refused' came up.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
# One thread everywhere: forks of a process with threads deadlock.
os.environ["OMP_NUM_THREADS"] = "1"

import av
from fuzz_inputs import DELAYED, GENERATED, MUTATIONS, Clip, clips, mutated
from fuzz_trial import CPU_SECONDS, MEMORY, Task, settle, try_input

from restore.io.probe import MAX_TAGS
from restore.io.reader import MAX_PIXELS, MAX_SIDE, MAX_STREAMS, OPEN_SECONDS
from restore.io.text import MAX_TEXT

GOOD = ("ok", "refused")
TARGETS = ("mkv", "mkv", "mp4", "mov", "avi", "ts", "ts", "webm")
KINDS = ("ok", "refused", "lost", "exception", "crash", "hang", "memory")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "folders", nargs="*", type=Path, help="of real files, beside the generated ones"
    )
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--whole", type=int, default=5, help="one in N goes through a whole run")
    parser.add_argument("--only", type=int, help="number of the only input to try")
    parser.add_argument(
        "--share",
        default="0/1",
        help="K/N: only every Nth input from K on, for N processes at once",
    )
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so many")
    parser.add_argument("--state", type=Path, help="folder of a series; the same command goes on")
    parser.add_argument("--write", type=Path, help="make this document of the results")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        work = Path(name)
        options.state = options.state or work / "state"
        known = clips(options.folders, options.state / "clips")
        print(
            f"{len(known)} clips, {sum(len(c.data) for c in known) / len(known) / 1000:.0f} kB each"
        )
        results = explore(options, known, work)
    counts = Counter(r["outcome"] for r in results)
    decoded = sum(r["frames"] > 0 for r in results)
    print(json.dumps({"inputs": len(results), "decoded": decoded, **counts}))
    if options.write:
        options.write.write_text(document(results, options, known), "utf-8")
    raise SystemExit(0 if set(counts) <= set(GOOD) else 1)


def explore(options: argparse.Namespace, known: list[Clip], work: Path) -> list[dict[str, Any]]:
    """Every input's result, those of an earlier call included."""
    state = options.state / "results.jsonl"
    results = _earlier(state, options.seed, known)
    done = {r["number"] for r in results} if options.only is None else set()
    first, of = map(int, options.share.split("/"))
    wanted = range(first, options.count, of) if options.only is None else [options.only]
    settle()
    started = time.monotonic()
    for tried, number in enumerate((n for n in wanted if n not in done), start=1):
        if time.monotonic() - started > 60 * options.minutes:
            break
        clip, how, data = mutated(known, options.seed, number)
        task = _task(options, number, work)
        place = work / "trial"
        place.mkdir()
        path = place / f"input.{clip.container}"
        path.write_bytes(data)
        finding = try_input(path, task)
        result = {
            "number": number,
            "clip": clip.name,
            "how": how,
            "target": task.target,
            "whole": task.pipeline is not None,
            "pipeline": task.pipeline and task.pipeline.stem,
            "part": [task.start, task.end],
            **asdict(finding),
        }
        results.append(result)
        if options.only is None:
            with state.open("a") as file:
                file.write(json.dumps(result) + "\n")
        if finding.outcome not in GOOD or options.only is not None:
            print(json.dumps(result), flush=True)
            found = options.state / "found"
            found.mkdir(exist_ok=True)
            shutil.copy(path, found / f"{number}-{clip.name}")
        shutil.rmtree(place)
        if tried % 500 == 0:
            rate = (time.monotonic() - started) / tried
            print(f"{number + 1} of {options.count}, {1000 * rate:.0f} ms each", flush=True)
    return results if options.only is None else results[-1:]


def _task(options: argparse.Namespace, number: int, work: Path) -> Task:
    """What is asked of input `number`: one in `options.whole` goes through a run by a pipeline file in `work`, three of
    ten runs make a part."""
    rng = random.Random(f"task:{options.seed}:{number}")
    target = rng.choice(TARGETS)
    start, end = rng.choice([(None, None)] * 7 + [(0.25, 1.0), (0.4, None), (0.0, 0.6)])
    name = rng.choice(("none", "lanczos"))
    if rng.random() >= 1 / options.whole:
        return Task(target, None, start, end)
    stages = '[[stage]]\nkind = "upscale"\nmodel = "lanczos"\n' if name == "lanczos" else ""
    fast = (
        'codec = "libvpx-vp9"\npreset = "ultrafast"' if target == "webm" else 'preset = "ultrafast"'
    )
    pipeline = work / f"{name}.toml"
    pipeline.write_text(f"{stages}[output]\n{fast}\n")
    return Task(target, pipeline, start, end)


def _earlier(state: Path, seed: int, known: list[Clip]) -> list[dict[str, Any]]:
    """Results of the same series; the file's first line says which that is."""
    digest = hashlib.sha256(b"".join(c.name.encode() + c.data for c in known)).hexdigest()[:16]
    series = {"seed": seed, "clips": digest}
    if not state.exists():
        state.write_text(json.dumps(series) + "\n")
        return []
    first, *lines = state.read_text().splitlines()
    if json.loads(first) != series:
        raise SystemExit(f"{state}: holds results of {first}, not of {series}; try another folder")
    return [json.loads(line) for line in lines]


def document(results: list[dict[str, Any]], options: argparse.Namespace, known: list[Clip]) -> str:
    """Markdown: what was tried, and what came of it."""
    counts = Counter(r["outcome"] for r in results)
    decoded = sum(r["frames"] > 0 for r in results)
    whole = [r for r in results if r["step"] == "run"]
    finished = sum(r["outcome"] == "ok" for r in whole)
    planned = Counter(r.get("target", "mkv") for r in results)
    targets = ", ".join(f"{count} {name}" for name, count in planned.most_common())
    real = sum(c.name not in {*GENERATED, *DELAYED} for c in known)
    beginnings = f"short beginnings of {real} real and" if real else "Clips:"
    parts = sum(r["part"][0] is not None for r in whole)
    made = Counter((r["target"], r["outcome"]) for r in whole)
    runs = [
        f"| {name} | {sum(n for (t, _), n in made.items() if t == name)} | "
        f"{' | '.join(str(made[name, kind]) for kind in KINDS)} |"
        for name in sorted(planned)
    ]
    kinds = {clip.name: clip.container for clip in known}
    tables: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        tables.setdefault(kinds[result["clip"]], []).append(result)
    rows = [_row(name, rows) for name, rows in sorted(tables.items())]
    folders = "".join(f"data/{folder.name} " for folder in options.folders)
    return f"""# Reliability: damaged and hostile files

Made by `python benchmarks/fuzz.py {folders}--count {options.count} --seed {options.seed} --write docs/reliability.md`
with PyAV {av.__version__}, FFmpeg {av.ffmpeg_version_info}.

{len(results)} inputs: {beginnings} {len(known) - real} generated
clips, {sum(len(c.data) for c in known) / len(known) / 1000:.0f} kB each on average, damaged by one to three of {len(MUTATIONS)} mutations (flipped bits; overwritten,
zeroed, lost, repeated, exchanged stretches; a cut end; wrong header numbers; the tail of another file; clocks that
jump; packets that are lost, moved or cut). Each was
opened, decoded with its sound, and its streams were planned for an output ({targets}),
in a process of its own with {CPU_SECONDS} s of processor time and {MEMORY >> 20} MiB of memory beyond the program itself.
One in {options.whole} went through a whole run: {sum(r["whole"] for r in results)} were asked for, {len(whole)} reached it ({parts} of them made a part),
{finished} outputs were made and passed the check after the run, {len(whole) - finished} were not written, with an error that says why.

- **{decoded} inputs ({decoded / len(results):.1%}) still gave a frame**; {counts["refused"]} ended in an error of restore's own.
- Exceptions of any other kind: {counts["exception"]}. Crashes: {counts["crash"]}. Hangs: {counts["hang"]}. Out of memory: {counts["memory"]}.
- Renders lost to restore's own check, or to a container that could not hold them: {counts["lost"]}.

| container | inputs | gave a frame | refused | lost | exceptions | crashes | hangs | memory | worst time (s) | worst memory (MiB) |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|
{chr(10).join(rows)}

| whole runs into | reached | {" | ".join(KINDS)} |
|---|--:|{"--:|" * len(KINDS)}
{chr(10).join(runs)}

Time is processor time, whole runs left out; memory is what a process took beyond the program it shares.

## Limits

- Only the files that are named are opened. Playlists, redirects, references inside a file, name patterns and files
  that belong to it (.sub, .M00) are not followed; the tests watch the kernel open files and sockets.
- A picture has at most {MAX_PIXELS} samples, and {MAX_SIDE} a side: a header of a few bytes asks for no gigabytes.
- At most {MAX_STREAMS} streams, attached files not counted; {MAX_TAGS} entries of metadata, each of {MAX_TEXT} bytes, are kept.
- A file that is not open after {OPEN_SECONDS} s is refused. The length of a file has no limit.
- A gap in the sound is filled with silence, in all no more than an hour beyond as much as there is sound.
- A crash inside a decoder of FFmpeg would end the program. Finished segments stay, and the same command goes on.
{_failures(results)}"""


def _row(name: str, results: list[dict[str, Any]]) -> str:
    counts = Counter(r["outcome"] for r in results)
    decoded = sum(r["frames"] > 0 for r in results)
    seconds = max((r["seconds"] for r in results if not r["whole"]), default=0.0)
    mib = max((r["mib"] for r in results if not r["whole"]), default=0.0)
    cells = [
        len(results),
        decoded,
        *(counts[kind] for kind in KINDS[1:]),
        f"{seconds:.2f}",
        f"{mib:.0f}",
    ]
    return f"| {name} | {' | '.join(map(str, cells))} |"


def _failures(results: list[dict[str, Any]]) -> str:
    """Every input that failed, to be tried again by its number."""
    failed = [r for r in results if r["outcome"] not in GOOD]
    lines = [
        f"- {r['number']} ({r['clip']}, {r['how']}): {r['outcome']} in {r['step']}" for r in failed
    ]
    return "\n## Failures\n\n" + "\n".join(lines) + "\n" if failed else ""


if __name__ == "__main__":
    main()
