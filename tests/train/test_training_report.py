"""The report of a run: whole, self-contained, and what it shows is what was measured."""

from __future__ import annotations

import base64
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from clean import pool

from restore.nets.plain import PlainSR
from restore.train.recipe import Recipe, read_recipe
from restore.train.report import chart, chosen, histogram, write_report
from restore.train.shards import Shards, make_shards, read_shards
from restore.train.state import Look
from restore.train.validation import Scores


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Shards]:
    root = tmp_path_factory.mktemp("report")
    recipe = read_recipe(pool(root))
    make_shards(recipe, root, root / "shards", workers=1)
    return recipe, read_shards(root / "shards", "val")


class Page(HTMLParser):
    """Tags with their attributes; refuses anything that is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_else(
    made: tuple[Recipe, Shards], tmp_path: Path
) -> None:
    recipe, held = made
    looks = [
        Look(k, 60.0 * k, 0.02 / k, Scores({"held-out mean": 0.1 * k}, 30 + 0.1 * k, 30.0))
        for k in (1, 2, 3)
    ]
    path = tmp_path / "report.html"
    torch.manual_seed(0)
    net = PlainSR(4, 1, 2).eval()
    write_report(path, recipe, looks, net, held)
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    page = Page(path.read_text("utf-8"))
    tags = [tag for tag, _ in page.found]
    assert not {"script", "link", "iframe"} & set(tags)
    addresses = [value for _, a in page.found for k, value in a.items() if k in ("src", "href")]
    assert len(addresses) == 6
    assert all(
        value is not None and value.startswith("data:image/png;base64,") for value in addresses
    )
    assert "http" not in path.read_text("utf-8")
    # Three curves: loss; network and Lanczos; the one gain. Then a histogram per kernel.
    assert tags.count("polyline") == 4
    assert tags.count("svg") == 3 + 3
    # The last third of a triplet is the truth, as a screen shows it.
    shard, index = chosen(held)[0]
    png = base64.b64decode(str(addresses[0]).split(",")[1])
    strip = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    truth = held.hr[shard][index].numpy().astype(np.float64)
    assert strip.shape == (64, 3 * 64)
    np.testing.assert_array_equal(
        strip[:, 128:], np.clip(np.rint((truth - 16) * 255 / 219), 0, 255).astype(np.uint8)
    )
    assert np.abs(strip[:, :64].astype(float) - strip[:, 128:]).mean() < 20


def test_every_category_is_shown_before_one_is_shown_twice(made: tuple[Recipe, Shards]) -> None:
    _, held = made
    shown = [held.samples[s][k]["sequence"]["category"] for s, k in chosen(held)]
    assert len(set(shown[:5])) == 5
    assert len(shown) == 6


def test_a_line_goes_up_where_values_do() -> None:
    svg = chart("x", {"a": [(0, 1.0), (5, 3.0), (10, 2.0)], "b": [(0, math.nan), (10, 2.0)]})
    first, second = re.findall(r'points="([^"]*)"', svg)
    (x0, y0), (x1, y1), (x2, y2) = (map(float, p.split(",")) for p in first.split())
    assert x0 < x1 < x2
    assert x1 - x0 == pytest.approx(x2 - x1)
    assert y1 < y2 < y0, "SVG counts downwards"
    assert second == f"{x2:.1f},{y2:.1f}", "what is not finite is left out"
    assert chart("nothing", {"a": []}).startswith("<svg")
    assert chart("flat", {"a": [(0, 0.0), (1, 0.0)]}).count("nan") == 0


def test_a_histogram_counts_every_weight() -> None:
    svg = histogram("w", torch.cat([torch.zeros(100), torch.ones(50)]))
    heights = [float(h) for h in re.findall(r'height="([\d.]+)" fill', svg)]
    assert len(heights) == 41
    assert heights[0] == 2 * heights[-1] == max(heights)
    assert "w: 150, sigma 0.471" in svg
