"""Every problem of a pipeline file is named, with its address, in one go."""

import pickle
from pathlib import Path

import pytest

from restore.errors import PipelineFileError
from restore.pipeline import find_pipeline, read_pipeline
from restore.resources import pipelines_dir

GOOD = """
[[stage]]
kind = "deblock"
strength = 0.5
[[stage]]
kind = "upscale"
[[stage]]
kind = "deblock"
[output]
crf = 20
"""

FIVE_FAULTS = """
[[stage]]
kind = "align"
radius = "wide"
strenght = 1.0
[[stage]]
kind = "upscal"
[ouput]
crf = 1
[output]
preset = [7]
"""


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "p.toml"
    path.write_text(GOOD)
    return path


def problems(path: Path, text: str, sets: tuple[str, ...] = ()) -> list[str]:
    path.write_text(text)
    with pytest.raises(PipelineFileError) as caught:
        read_pipeline(path, sets)
    return [p.replace(str(path.parent) + "/", "") for p in caught.value.problems]


def test_five_faults_in_one_go(tmp_path: Path) -> None:
    assert problems(tmp_path / "p.toml", FIVE_FAULTS) == [
        "p.toml: [ouput]: unknown table; did you mean 'output'?",
        "p.toml: [output]: preset: expected a valid string, got [7]",
        "p.toml: [[stage]] 1 (align): radius: expected a valid integer, got 'wide'",
        "p.toml: [[stage]] 1 (align): strenght: unknown key; did you mean 'strength'?",
        "p.toml: [[stage]] 2 (upscal): kind: no such stage; did you mean 'upscale'?",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[stage]\nkind='align'", "p.toml: stage: expected tables [[stage]] (two brackets)"),
        ("output = 3", "p.toml: output: expected a table [output], got 3"),
        ("[[stage]]\nradius = 1", "p.toml: [[stage]] 1 (None): kind: no such stage"),
        ("[output\n", "p.toml: not valid TOML: "),
    ],
)
def test_wrong_shapes(tmp_path: Path, text: str, expected: str) -> None:
    assert problems(tmp_path / "p.toml", text)[0].startswith(expected)


def test_not_text(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PipelineFileError, match=r"p\.toml: not valid TOML"):
        read_pipeline(path)


def test_overrides(good: Path) -> None:
    spec = read_pipeline(
        good,
        ["output.crf=30", "output.preset=veryfast", "deblock.2.strength=2", "upscale.factor=3"],
    )
    assert (spec.output.crf, spec.output.preset) == (30, "veryfast")
    assert [s.settings for s in spec.stages] == [{"strength": 0.5}, {"factor": 3}, {"strength": 2}]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("output.crf", "expected table.key=value"),
        ("outptu.crf=1", "no such table or stage; did you mean 'output'?"),
        ("deblock.strength=1", "2 stages are of this kind; name one, such as deblock.1.strength"),
        ("deblock.3.strength=1", "expected deblock.1 to deblock.2, got '3'"),
        ("upscale.modle=x", "unknown key; did you mean 'model'?"),
    ],
)
def test_bad_overrides(good: Path, override: str, expected: str) -> None:
    assert any(expected in p for p in problems(good, GOOD, (override,)))


def test_a_spec_travels_and_its_fingerprint_sees_every_setting(good: Path) -> None:
    spec = read_pipeline(good)
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert read_pipeline(good).fingerprint() == spec.fingerprint()
    prints = {
        read_pipeline(good, [change]).fingerprint()
        for change in (
            "output.crf=21",
            "deblock.1.strength=0.6",
            "scenes.ratio=4",
            "motion.preset=medium",
        )
    }
    assert len(prints | {spec.fingerprint()}) == 5


def test_names_resolve_without_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_pipeline("bw_film_x2") == pipelines_dir() / "bw_film_x2.toml"
    assert find_pipeline("bw_film_x2.toml") == pipelines_dir() / "bw_film_x2.toml"
    with pytest.raises(PipelineFileError, match="did you mean 'bw_film_x2'"):
        find_pipeline("bw_film_x")
    with pytest.raises(PipelineFileError, match="found a directory"):
        find_pipeline(str(tmp_path))


@pytest.mark.parametrize(
    ("setting", "table", "key", "value"),
    [
        ("input.frame_rate=16", "input", "frame_rate", "16"),
        ("input.frame_rate=23.976", "input", "frame_rate", "23.976"),
        ("output.preset=10", "output", "preset", "10"),
        ("output.options.bf=0", "output", "options", {"bf": "0"}),
    ],
)
def test_a_number_where_text_is_expected(
    good: Path, setting: str, table: str, key: str, value: object
) -> None:
    assert getattr(getattr(read_pipeline(good, [setting]), table), key) == value


def test_a_number_in_the_file_where_text_is_expected(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text("[input]\nframe_rate = 16\n[output]\npreset = 10\noptions = { bf = 0 }\n")
    spec = read_pipeline(path)
    assert spec.input.frame_rate == "16"
    assert (spec.output.preset, spec.output.options) == ("10", {"bf": "0"})
