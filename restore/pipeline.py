"""A pipeline file, read and checked whole before any frame is decoded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from restore.errors import ModelError, PipelineFileError
from restore.io.encode import OutputOptions
from restore.io.probe import InputOptions
from restore.motion import MotionOptions
from restore.options import Options, check, hint, parse_toml, read_toml, short
from restore.resources import pipelines_dir
from restore.scenes import SceneOptions
from restore.stage import Stage, find_stage, stage_names
from restore.video import VideoFormat

TABLES: dict[str, type[Options]] = {
    "input": InputOptions,
    "scenes": SceneOptions,
    "motion": MotionOptions,
    "output": OutputOptions,
}


@dataclass(frozen=True)
class StageSpec:
    kind: str
    settings: dict[str, Any]
    where: str
    """How messages name this stage, e.g. 'dvd.toml: [[stage]] 2 (deblock)'."""

    def build(self) -> Stage:
        return find_stage(self.kind)(**self.settings)


@dataclass(frozen=True)
class PipelineSpec:
    """Plain data: it can be pickled to another process and built there."""

    name: str
    stages: tuple[StageSpec, ...]
    input: InputOptions
    scenes: SceneOptions
    motion: MotionOptions
    output: OutputOptions

    def formats(self, source: VideoFormat) -> list[VideoFormat]:
        """The format after each stage, starting with `source`.
        Raises PipelineFileError naming every stage that cannot take what it is given."""
        formats = [source]
        for spec in self.stages:
            stage = spec.build()
            try:
                if stage.repairs and not _same_size(formats[-1], source):
                    raise ValueError(
                        "repairs the picture in its own size: expected before every stage that changes it"
                    )
                formats.append(stage.output_format(formats[-1]))
            except (ValueError, ModelError) as error:
                raise PipelineFileError([f"{spec.where}: {error}"]) from error
        return formats

    def result(self, last: VideoFormat) -> VideoFormat:
        """What the encoder is to make its format of: `last`, the last stage's format, in square samples where
        [input] asks for them."""
        return last.squared() if self.input.square_pixels else last

    def halo(self) -> tuple[int, int]:
        """Frames (before, after) that a cut inside a scene must be given along."""
        stages = [spec.build() for spec in self.stages]
        return (
            sum(s.window.past + s.run_in for s in stages),
            sum(s.window.future for s in stages),
        )

    def needs(self) -> frozenset[str]:
        """What the index must measure: names of SceneFacts fields, or of `restore.measures`."""
        return frozenset().union(*(s.build().needs for s in self.stages))

    def curve_reach(self) -> int:
        """Frames around those of a segment and its halo that stages look at in SceneFacts.curves."""
        return max((s.build().curve_reach for s in self.stages), default=0)

    def look_ahead(self) -> int:
        """Frames behind a segment that the index must know before the segment can be made."""
        return self.halo()[1] + self.curve_reach()

    def frame_by_frame(self) -> bool:
        """Whether no stage looks at other frames or at anything the index measures."""
        return self.halo() == (0, 0) and not self.needs()

    def reads_quantisers(self) -> bool:
        """Whether a stage looks at what the bitstream says about the quantiser."""
        return any(s.build().reads_quantisers for s in self.stages)

    def document(self) -> dict[str, Any]:
        """Every setting that can change the result, defaults included, as JSON knows it."""
        return {
            "stages": [[s.kind, s.build().model_dump(mode="json")] for s in self.stages],
            **{table: getattr(self, table).model_dump(mode="json") for table in TABLES},
        }

    def fingerprint(self) -> str:
        """Hash of `document`."""
        return hashlib.sha256(json.dumps(self.document(), sort_keys=True).encode()).hexdigest()


def _same_size(one: VideoFormat, other: VideoFormat) -> bool:
    return one.plane_shapes() == other.plane_shapes()


def find_pipeline(name: str) -> Path:
    """The file itself, or a shipped pipeline's name without path or suffix.
    Raises PipelineFileError listing the shipped ones."""
    path = Path(name)
    if path.is_file():
        return path
    known = {p.stem: p for p in sorted(pipelines_dir().glob("*.toml"))}
    if path.is_dir():
        raise PipelineFileError([f"{name}: expected a pipeline file, found a directory"])
    if path.parent == Path() and path.name.removesuffix(".toml") in known:
        return known[path.name.removesuffix(".toml")]
    raise PipelineFileError([f"{name}: no such pipeline file{hint(path.stem, known)}"])


def read_pipeline(path: Path, overrides: Sequence[str] = ()) -> PipelineSpec:
    """Read and check a pipeline file, with `overrides` ('table.key=value', as --set gives them) applied.
    Raises PipelineFileError listing every problem, each as 'file: table: key: what'."""
    try:
        document = read_toml(path, "a pipeline file (it comes before the video)")
    except ValueError as error:
        raise PipelineFileError([str(error)]) from error
    problems: list[str] = []
    file = path.name
    stage_tables = _stage_tables(document, file, problems)
    for text in overrides:
        _override(document, stage_tables, text, problems)
    known = [*TABLES, "stage"]
    for name in document.keys() - set(known):
        problems.append(f"{file}: [{name}]: unknown table{hint(name, known)}")
    tables: dict[str, Any] = {}
    for name, model in TABLES.items():
        table = document.get(name, {})
        if isinstance(table, dict):
            tables[name] = check(model, table, f"{file}: [{name}]", problems)
        else:
            problems.append(f"{file}: {name}: expected a table [{name}], got {short(table)}")
    stages = []
    for number, table in enumerate(stage_tables, 1):
        kind = table.get("kind")
        where = f"{file}: [[stage]] {number} ({kind})"
        if kind not in stage_names():
            problems.append(f"{where}: kind: no such stage{hint(kind, stage_names())}")
            continue
        settings = {key: value for key, value in table.items() if key != "kind"}
        if check(find_stage(kind), settings, where, problems) is not None:
            stages.append(StageSpec(kind, settings, where))
    if problems:
        raise PipelineFileError(problems)
    return PipelineSpec(path.stem, tuple(stages), **tables)


def _stage_tables(document: dict[str, Any], file: str, problems: list[str]) -> list[dict[str, Any]]:
    tables = document.get("stage", [])
    if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        problems.append(
            f"{file}: stage: expected tables [[stage]] (two brackets), got {short(tables)}"
        )
        return []
    return tables


def _override(
    document: dict[str, Any], stages: list[dict[str, Any]], text: str, problems: list[str]
) -> None:
    """Apply one 'table.key=value', 'kind.key=value' or 'kind.N.key=value' (N-th stage of that kind)."""
    target, equals, value = text.partition("=")
    parts = target.strip().split(".")
    where = f"--set {text if len(text) <= 200 else text[:200] + '...'}"
    if not equals or not 2 <= len(parts) <= 3 or not all(parts):
        problems.append(
            f"{where}: expected table.key=value, such as output.crf=20 or align.radius=1"
        )
        return
    name, key = parts[0], parts[-1]
    if name in TABLES and len(parts) == 2:
        table = document.setdefault(name, {})
        if isinstance(table, dict):
            table[key] = _value(value.strip())
        return
    if name == "output" and parts[1] == "options":
        table = document.setdefault("output", {}).setdefault("options", {})
        table[key] = value.strip()
        return
    matching = [t for t in stages if t.get("kind") == name]
    if not matching:
        kinds = [str(t.get("kind")) for t in stages]
        problems.append(f"{where}: no such table or stage{hint(name, [*TABLES, *kinds])}")
    elif len(parts) == 3:
        if parts[1].isdigit() and 1 <= int(parts[1]) <= len(matching):
            matching[int(parts[1]) - 1][key] = _value(value.strip())
        else:
            problems.append(
                f"{where}: expected {name}.1 to {name}.{len(matching)}, got {parts[1]!r}"
            )
    elif len(matching) > 1:
        problems.append(
            f"{where}: {len(matching)} stages are of this kind; name one, such as {name}.1.{key}"
        )
    else:
        matching[0][key] = _value(value.strip())


def _value(text: str) -> Any:
    """A TOML value; what is none is a string, so that quotes are not needed on a command line."""
    try:
        return parse_toml(f"value = {text}")["value"]
    except ValueError:
        return text
