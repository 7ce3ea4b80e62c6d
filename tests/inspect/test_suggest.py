"""The suggested pipeline: it loads, it runs, and it does no more than was found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from restore.errors import OutputError
from restore.inspect.inspection import Inspection, inspect_source
from restore.inspect.suggest import Suggestion, check_target, suggest, to_toml, write_pipeline
from restore.io.decode import decode
from restore.io.join import open_source
from restore.io.source import ScanPlan
from restore.pipeline import read_pipeline
from restore.stage import stage_names
from tests.inspect.synthetic import codes, film, write_film


def encoded(path: Path, **options: object) -> Path:
    """10 frames of 96x64 that move and are textured."""
    return write_film(path, codes(film(np.random.default_rng(3), 10, 64, 96)), **options)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Inspection:
    path = tmp_path_factory.mktemp("clean") / "clean.mkv"
    return inspect_source([encoded(path, vcodec="ffv1")])


@pytest.fixture(scope="module")
def coarse(tmp_path_factory: pytest.TempPathFactory) -> Inspection:
    path = tmp_path_factory.mktemp("coarse") / "coarse.mpg"
    return inspect_source([encoded(path, vcodec="mpeg1video", **{"q:v": 12})])


def settings(made: Suggestion, kind: str) -> dict[str, object]:
    (stage,) = [s for s in made.stages if s.kind == kind]
    return {s.key: s.value for s in stage.settings}


def test_a_coarse_codec_is_answered(coarse: Inspection) -> None:
    made = suggest(coarse)
    assert [s.kind for s in made.stages] == ["align", "upscale", "preserve_color"]
    assert settings(made, "upscale")["model"] == "film_x2_multi"


def test_a_clean_input_gets_no_deblocking(clean: Inspection) -> None:
    made = suggest(clean)
    assert [s.kind for s in made.stages] == ["upscale", "preserve_color"]
    assert settings(made, "upscale")["model"] == "clean_x2"


def test_a_large_picture_is_not_enlarged(coarse: Inspection) -> None:
    video = coarse.source.video
    large = replace(video, format=replace(video.format, width=1920, height=1080))
    large = replace(large, chosen=replace(video.layout, decoded=large.format))
    made = suggest(replace(coarse, source=replace(coarse.source, video=large)))
    assert [s.kind for s in made.stages] == ["deblock", "align", "preserve_color"]
    assert settings(made, "deblock") == {"strength": 1.0}


def test_fields_are_made_frames(clean: Inspection) -> None:
    scan = replace(clean.scan, kind="interlaced", top_first=False, plan=ScanPlan("bwdif"))
    made = suggest(replace(clean, scan=scan))
    assert {s.key: s.value for s in made.input} == {"deinterlace": "bwdif", "field_order": "bff"}


@pytest.mark.parametrize("which", ["clean", "coarse"])
def test_the_file_loads_and_every_stage_and_value_has_a_reason(
    which: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    found: Inspection = request.getfixturevalue(which)
    scan = replace(found.scan, kind="telecined")
    made = suggest(replace(found, scan=scan, film=replace(found.film, flicker=9.0)))
    text = to_toml(made, "odd\nname.mpg")
    path = tmp_path / "made.toml"
    write_pipeline(path, text, overwrite=False)
    spec = read_pipeline(path)
    assert [s.kind for s in spec.stages] == [s.kind for s in made.stages]
    assert {s.kind for s in spec.stages} <= set(stage_names())
    assert spec.input.telecine == "on"
    assert "# - flicker of 9.0 codes" in text
    for before, line in zip(text.splitlines(), text.splitlines()[1:], strict=False):
        if line == "[[stage]]":
            assert before.startswith("# ")
        elif "=" in line and not line.startswith(("kind", "#")):
            assert "# " in line, line


def test_the_suggested_chain_takes_the_file(coarse: Inspection, tmp_path: Path) -> None:
    path = tmp_path / "made.toml"
    write_pipeline(path, to_toml(suggest(coarse), "coarse.mpg"), overwrite=False)
    spec = read_pipeline(path)
    source = open_source([coarse.source.path], spec.input)
    formats = spec.formats(source.video.format)
    assert (formats[-1].width, formats[-1].height) == (192, 128)
    assert sum(len(batch) for batch in decode(source)) == 10


def test_an_existing_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        check_target(tmp_path / "mine.toml", overwrite=False)
    check_target(tmp_path / "mine.toml", overwrite=True)
    with pytest.raises(OutputError, match=r"\.toml file"):
        check_target(tmp_path / "mine.txt", overwrite=False)
