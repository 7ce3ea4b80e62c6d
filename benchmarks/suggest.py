"""What `restore inspect --suggest` is worth: its pipeline, and fixed ones, against Lanczos on films of known truth.

    python benchmarks/suggest.py DATA/video [--frames 4] [--kinds clean vcd ...] [--clips foreman ...] \
        [--work FOLDER] [--write docs/suggest.md]

Each clip's luma is halved (bicubic, anti-aliased), spoilt in each way (suggest_cases.py), inspected, and run through what is
suggested and through the same few pipelines whatever the film. Score: Y-PSNR of the middle of the first frames, 8 px border
left out, over the better of our Lanczos and FFmpeg's, both after the deinterlacing that restore does unasked. Fields are those
of the whole clip, nearly lossless; what is made of them is reduced to its size, where Lanczos changes next to nothing. With
--work, files and scores are kept there and not made again; delete the folder after a change to a stage.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import torch
from rich.console import Console
from suggest_cases import CLEAN, ELSEWHERE, FIELDS, KINDS, NEARLY, Case, cases

import restore.inspect
from restore.evaluate.recipes import CODEC_RECIPES, RECIPES
from restore.evaluate.score import best_lanczos
from restore.evaluate.subjects import Input, lanczos, luma_of, network_chain, restored
from restore.inspect.inspection import inspect_source
from restore.inspect.suggest import suggest, to_toml
from restore.io.decode import decode
from restore.io.join import open_source
from restore.io.probe import InputOptions
from restore.metrics.fidelity import psnr
from restore.pipeline import PipelineSpec, StageSpec, find_pipeline, read_pipeline
from restore.video import FrameBatch

CPU = torch.device("cpu")
SUGGESTED, LANCZOS, AS_IT_IS = "suggested", "lanczos_x2", "not deinterlaced"
FIXED = ("bw_film_x2", "bw_film_x2_fast", LANCZOS, "clean_x2")
MIXED = (CLEAN, NEARLY, *CODEC_RECIPES, *FIELDS)
AHEAD = 4
"""Frames after the last one scored that a chain may look at."""
WINDOW = 240, 192
"""Width and height of what is restored and scored: the middle of the file's picture, which is encoded and inspected whole."""


@dataclass
class Row:
    """All scores of one case, in dB over Lanczos."""

    clip: str
    kind: str
    lanczos: float
    chain: str
    """What was suggested, in short."""
    gains: dict[str, float] = field(default_factory=dict)


def fixed(name: str) -> PipelineSpec:
    """A pipeline by name, or the network of that name and colour kept: what is suggested for clean film."""
    if name != "clean_x2":
        return read_pipeline(find_pipeline(name))
    spec = network_chain(name, 2)
    colour = StageSpec("preserve_color", {}, "preserve_color")
    return replace(spec, stages=(*spec.stages, colour))


def window(case: Case) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) to be cut from the file's picture, whole macroblocks."""
    height, width = (n // case.factor for n in case.truth.shape[1:])
    across, down = (max(0, n - w) // 32 * 16 for n, w in zip((width, height), WINDOW, strict=True))
    return across, down, across, down


def truth(case: Case, frames: Sequence[int]) -> torch.Tensor:
    """(T, 1, H, W) of what is scored."""
    left, top, right, bottom = (case.factor * n for n in window(case))
    height, width = case.truth.shape[1:]
    return torch.from_numpy(case.truth[frames, top : height - bottom, left : width - right])[
        :, None
    ]


def read(case: Case, options: InputOptions, frames: int) -> tuple[Input, list[int]]:
    """(the first frames as `restore run` decodes them, which frames of the truth they are)."""
    if options.crop != "off":
        raise SystemExit(
            f"{case.file}: crop {options.crop} was suggested for a picture without a border"
        )
    cut = ":".join(map(str, window(case)))
    source = open_source([case.file], options.model_copy(update={"crop": cut}))
    film = source.video.layout.scan.telecine == "decimate"

    def batches(quantisers: bool) -> Iterator[FrameBatch]:
        return islice(decode(source, batch=1, quantisers=quantisers), frames)

    count = sum(1 for _ in batches(False))
    return Input(source.video.format, batches), [case.truth_of(n, film) for n in range(count)]


def reduced(made: torch.Tensor) -> torch.Tensor:
    """(T, 1, 2 H, 2 W) codes -> (T, 1, H, W): means of 2x2, which lie where the source's samples do."""
    return torch.nn.functional.avg_pool2d(made.float(), 2).round().to(made.dtype)


class Scores:
    """Y-PSNR of pipelines on cases, made once."""

    def __init__(self, folder: Path, frames: int, only_known: bool) -> None:
        self.folder, self.frames, self.only_known = folder, frames, only_known
        self.folder.mkdir(parents=True, exist_ok=True)

    def suggestion(self, case: Case) -> str:
        """The pipeline file."""
        code = [p.read_bytes() for p in sorted(Path(restore.inspect.__path__[0]).glob("*.py"))]

        def look() -> str:
            return to_toml(suggest(inspect_source([case.file])), case.file.name)

        return self._once(case, {"inspect": "suggest"}, code, look, cheap=True)

    def of(self, case: Case, spec: PipelineSpec) -> float:
        weights = [path.read_bytes() for s in spec.stages for path in s.build().assets()]
        known = {**spec.document(), "output": None}
        return float(self._once(case, known, weights, lambda: repr(self._score(case, spec))))

    def lanczos(self, case: Case) -> float:
        """The better of two Lanczos, in dB."""

        def score() -> str:
            given, shown = read(case, InputOptions(), self.frames)
            clean = truth(case, shown)
            low = luma_of(given)
            if case.factor == 1:
                return repr(psnr(reduced(lanczos(low, given.format, 2)), clean))
            return repr(psnr(best_lanczos(low, given.format, 2, clean), clean))

        return float(self._once(case, {"best": "lanczos"}, [], score))

    def _score(self, case: Case, spec: PipelineSpec) -> float:
        given, shown = read(case, spec.input, self.frames + AHEAD)
        made = restored(given, spec, CPU, 1)[: self.frames]
        made = reduced(made) if case.factor == 1 else made
        return psnr(made, truth(case, shown[: self.frames]))

    def _once(
        self,
        case: Case,
        known: object,
        data: Sequence[bytes],
        make: Callable[[], str],
        cheap: bool = False,
    ) -> str:
        """What `make` makes of the case, `known` and `data`. KeyError where it would have to and must not."""
        key = hashlib.sha256(json.dumps([case.hash(), known, self.frames, WINDOW]).encode())
        for part in data:
            key.update(part)
        path = self.folder / key.hexdigest()
        if not path.exists():
            if self.only_known and not cheap:
                raise KeyError(f"{case.clip}, {case.kind}")
            path.write_text(make())
        return path.read_text()


def in_short(spec: PipelineSpec) -> str:
    """`bwdif; deblock, align, film_x2, preserve_color`."""
    fields = [spec.input.deinterlace] if spec.input.deinterlace != "auto" else []
    fields += ["inverse telecine"] if spec.input.telecine == "on" else []
    names = [str(s.settings.get("model", s.kind)) for s in spec.stages]
    return "; ".join([*fields, ", ".join(names)])


def run(case: Case, scores: Scores, folder: Path) -> Row:
    path = folder / "suggested.toml"
    path.write_text(scores.suggestion(case), "utf-8")
    made = read_pipeline(path)
    base = scores.lanczos(case)
    row = Row(case.clip, case.kind, base, in_short(made))
    row.gains[SUGGESTED] = scores.of(case, made) - base
    for name in FIXED:
        row.gains[name] = scores.of(case, fixed(name)) - base
    if case.kind in FIELDS:
        blind = read_pipeline(
            find_pipeline("bw_film_x2_fast"), ["input.deinterlace=off", "input.telecine=off"]
        )
        row.gains[AS_IT_IS] = scores.of(case, blind) - base
    return row


def mean(rows: Sequence[Row], arm: str) -> float:
    return statistics.mean(r.gains[arm] for r in rows)


def titled(kind: str) -> str:
    return RECIPES[kind].title if kind in RECIPES else kind


def by_kind(rows: Sequence[Row], kinds: Sequence[str]) -> list[str]:
    """A table: mean and worst clip of each arm."""
    arms = (SUGGESTED, *FIXED)
    lines = ["| input | " + " | ".join(arms) + " |", "|---" * (len(arms) + 1) + "|"]
    for kind in kinds:
        mine = [r for r in rows if r.kind == kind]
        cells = []
        for arm in arms:
            worst = min(mine, key=lambda r: r.gains[arm])
            cells.append(f"{mean(mine, arm):+.2f} ({worst.gains[arm]:+.2f} {worst.clip[:12]})")
        lines.append(f"| {titled(kind)} | " + " | ".join(cells) + " |")
    return lines


def conclusion(rows: Sequence[Row]) -> list[str]:
    coded = [r for r in rows if r.kind in CODEC_RECIPES]
    kept = [r for r in rows if r.kind in (CLEAN, NEARLY)]
    mixed = [r for r in rows if r.kind in MIXED]
    woven = [r for r in rows if r.kind in FIELDS]
    lines = []
    for what, mine in (("codec recipes", coded), ("clean and nearly clean", kept)):
        if mine:
            worst = min(mine, key=lambda r: r.gains[SUGGESTED])
            above = sum(r.gains[SUGGESTED] > 0 for r in mine)
            lines.append(
                f"- {what}: {mean(mine, SUGGESTED):+.2f} dB over Lanczos on average, above it in {above} of {len(mine)}; "
                f"worst {worst.gains[SUGGESTED]:+.2f} dB, {worst.clip}, {titled(worst.kind)}."
            )
    if mixed:
        order = sorted((SUGGESTED, *FIXED), key=lambda arm: -mean(mixed, arm))
        said = ", ".join(f"`{arm}` {mean(mixed, arm):+.3f}" for arm in order)
        lines.append(
            f"- the mixed set, {len(mixed)} files of {len({r.kind for r in mixed})} kinds: {said} dB."
        )
    if woven:
        known = mean(woven, SUGGESTED), mean(woven, AS_IT_IS)
        lines.append(
            f"- interlaced and telecined: {known[0]:+.2f} dB; `bw_film_x2_fast` without deinterlacing {known[1]:+.2f} dB."
        )
    return lines


def page(rows: Sequence[Row], left_out: Sequence[str], command: str) -> str:
    kinds = [k for k in KINDS if any(r.kind == k for r in rows)]
    own, other = [k for k in kinds if k not in ELSEWHERE], [k for k in kinds if k in ELSEWHERE]
    lines = ["# What a suggestion is worth", "", f"Made by `{command}`.", ""]
    lines += (__doc__ or "").split("\n\n")[2].splitlines()
    lines += [
        "",
        *conclusion(rows),
        "",
        "Mean gain in dB; in brackets the worst clip.",
        "",
        *by_kind(rows, own),
    ]
    if other:
        lines += ["", "Codecs of which no recipe and no model knows:", "", *by_kind(rows, other)]
    if left_out:
        lines += ["", f"Not measured yet: {'; '.join(left_out)}."]
    arms = (SUGGESTED, *FIXED, AS_IT_IS)
    lines += ["", "| clip | input | Lanczos dB | " + " | ".join(arms) + " | suggested |"]
    lines += ["|---" * (len(arms) + 4) + "|"]
    for r in rows:
        gains = [f"{r.gains[a]:+.2f}" if a in r.gains else "" for a in arms]
        lines.append(
            f"| {r.clip} | {titled(r.kind)} | {r.lanczos:.2f} | {' | '.join(gains)} | {r.chain} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("video", type=Path, help="folder of clean clips")
    parser.add_argument("--frames", type=int, default=4, help="scored of each file")
    parser.add_argument("--length", type=int, default=21, help="frames of each file")
    parser.add_argument("--clips", nargs="*", default=[""], help="only names that begin so")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=KINDS)
    parser.add_argument("--work", type=Path, help="keeps files and scores")
    parser.add_argument("--known", action="store_true", help="only what --work holds already")
    parser.add_argument("--write", type=Path, help="Markdown file")
    options = parser.parse_args()
    console, rows = Console(soft_wrap=True), list[Row]()
    with tempfile.TemporaryDirectory() as name:
        folder = options.work or Path(name)
        scores = Scores(folder / "scores", options.frames, options.known)
        paths = [
            p for p in sorted(options.video.iterdir()) if p.name.startswith(tuple(options.clips))
        ]
        for path in paths:
            for case in cases(path, options.kinds, options.length, folder / "files", options.known):
                try:
                    row = run(case, scores, folder)
                except KeyError:
                    continue
                rows.append(row)
                gains = "  ".join(f"{arm} {gain:+.2f}" for arm, gain in row.gains.items())
                console.print(
                    f"{row.clip[:12]:12s} {row.kind:10s} {row.lanczos:6.2f}  {gains}  {row.chain}",
                    markup=False,
                )
    there = {(r.clip, r.kind) for r in rows}
    left_out = [
        f"{path.stem}, {titled(kind)}"
        for path in paths
        for kind in options.kinds
        if kind not in FIELDS and (path.stem, kind) not in there
    ]
    if rows:
        console.print("\n".join(conclusion(rows)), markup=False)
    if options.write:
        command = "python benchmarks/suggest.py DATA/video" + "".join(
            f" {shlex.quote(a)}" for a in sys.argv[2:]
        )
        options.write.write_text(page(rows, left_out, command), "utf-8")


if __name__ == "__main__":
    main()
