"""The page: HTML with everything in it, so that it opens from a disk, a mail or an archive, without a network."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from html import escape
from pathlib import Path
from typing import Any

from restore.panels.view import clock
from restore.report.pictures import Film, Pictures
from restore.report.plots import curves, timeline
from restore.report.survey import Scene, Survey, mean_pair, spans

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Facts:
    """What the page says beside what was measured."""

    title: str
    names: tuple[str, str]
    rows: Sequence[tuple[str, str, str]]
    """(what, of A, of B)."""
    notes: Sequence[str]
    record: Mapping[str, Any] | None
    """The record of the run (docs/report-format.md)."""
    first: Fraction
    """Seconds of A's first frame on its clock, on which the record's times are."""


def page(facts: Facts, found: Survey, pictures: Pictures) -> str:
    """The whole document; at least one frame was found."""
    known = [*spans(found)]
    whole = (float(known[0][0]), float(known[-1][1]))
    body = [
        f"<header><h1>{escape(facts.title)}</h1>{_summary(facts, found)}</header>",
        "<main>",
        *_stills(pictures),
        *_film(pictures.film, pictures),
        *_timeline(facts, found, whole),
        *_scenes(found),
        *_plots(found, whole),
        *_pipeline(facts),
        "</main>",
    ]
    policy = "default-src 'none'; img-src data:; media-src blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{escape(facts.title)}</title><style>{_file("page.css")}</style></head>\n<body>\n'
        + "\n".join(body)
        + f"\n<script>{_file('page.js')}</script></body></html>\n"
    )


def _summary(facts: Facts, found: Survey) -> str:
    rows = "".join(
        f"<tr><th>{escape(what)}</th><td>{escape(a)}</td><td>{escape(b)}</td></tr>"
        for what, a, b in facts.rows
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in facts.notes)
    return (
        '<table class="facts"><thead><tr><th></th><th>A, before</th><th>B, after</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>" + (f'<ul class="soft">{notes}</ul>' if notes else "")
    )


def _view(name: str, slide: str, label: str, style: str, before: str, after: str) -> str:
    return (
        f'<div class="view" id="{name}" data-slide="{slide}" style="{style}">{after}{before}'
        '<span class="tag left">before</span><span class="tag right">after</span></div>'
        f'<input class="slide" id="{slide}" type="range" min="0" max="100" step="0.5" value="50" aria-label="{label}">'
    )


def _stills(pictures: Pictures) -> list[str]:
    if not pictures.stills:
        return []
    style = f"aspect-ratio: {float(pictures.shape):.4f}"
    buttons = "".join(
        f'<button type="button" data-still="{n}" aria-pressed="{str(n == 1).lower()}">{clock(s.time)}</button>'
        for n, s in enumerate(pictures.stills, 1)
    )
    pairs = "".join(
        f'<p id="at-{n}">{clock(s.time)}</p><div class="pair" id="still-{n}">'
        f'<img alt="before, at {clock(s.time)}" src="{_data("image/jpeg", s.before)}">'
        f'<img alt="after, at {clock(s.time)}" src="{_data("image/jpeg", s.after)}"></div>'
        for n, s in enumerate(pictures.stills, 1)
    )
    view = _view(
        *("stills", "stills-at", "Border between before and after, in per cent of the width"),
        *(style, '<img class="before" alt="before">', '<img class="after" alt="after">'),
    )
    return [
        "<h2>Stills</h2>",
        '<p class="soft">Drag over the picture, or move the slider with the arrow keys.</p>',
        view,
        f'<div class="bar" role="group" aria-label="Moments">{buttons}</div>',
        f"<details><summary>All of them side by side</summary>{pairs}</details>",
    ]


def _film(film: Film | None, pictures: Pictures) -> list[str]:
    if film is None:
        return []
    width, height = film.size
    canvases = [
        f'<canvas id="film-{name}" class="{name}" width="{width}" height="{height}" role="img" aria-label="film, {name}"></canvas>'
        for name in ("before", "after")
    ]
    style = f"aspect-ratio: {float(pictures.shape):.4f}"
    starts = json.dumps([round(float(s), 6) for s in film.starts])
    speeds = "".join(
        f'<option value="{s}"{" selected" if s == 1 else ""}>x{s:g}</option>'
        for s in (0.1, 0.25, 0.5, 1, 2)
    )
    return [
        "<h2>Film</h2>",
        f'<p class="soft">{len(film.starts)} frames from {clock(film.start)}; both come out of one video, so they are in step at '
        "every frame.</p>",
        _view("film-view", "film-at", "Border between before and after, film", style, *canvases),
        '<div class="bar"><button type="button" id="play">Play</button>'
        '<button type="button" id="back" aria-label="One frame back">&#9664;|</button>'
        '<button type="button" id="forth" aria-label="One frame forth">|&#9654;</button>'
        '<input id="seek" type="range" min="0" max="1" step="any" value="0" aria-label="Time">'
        f'<output id="time" for="seek">0.00 s</output><label>Speed <select id="speed">{speeds}</select></label></div>',
        f'<video id="stacked" muted loop playsinline preload="auto" hidden data-starts="{starts}"></video>',
        f'<script type="text/plain" id="film">{b64encode(film.content).decode()}</script>',
        "<noscript><p>The film needs JavaScript; everything else does not.</p></noscript>",
    ]


def check_record(record: Mapping[str, Any]) -> None:
    """Make all that a page shows of `record`. Raises KeyError, TypeError, ValueError, AttributeError or ArithmeticError where
    it lacks something or holds it as another type: asked before the work, not after it."""
    _repairs(record, 0.0)
    _made_by(record)


def _repairs(record: Mapping[str, Any], first: float) -> list[tuple[float, str]]:
    """Seconds behind `first`, in ms, and kind of each repair that `record` tells."""
    return [
        (float(r["pts_ms"] - first) / 1000, str(r["action"]) if r["decoded"] else "put in")
        for r in record.get("repaired_frames", [])
    ]


def _timeline(facts: Facts, found: Survey, whole: tuple[float, float]) -> list[str]:
    record = facts.record or {}
    marks: list[tuple[str, str, list[tuple[float, str]]]] = []
    damaged = [(float(t), "damaged") for t in found.damaged]
    if damaged:
        marks.append(("damage", "damage", damaged))
    first = float(facts.first * 1000)
    repairs = _repairs(record, first)
    if repairs:
        marks.append(("repair", "repairs", repairs))
    lone = [(float(t), f"only {who} has a frame here") for t, who in found.lone]
    if lone:
        marks.append(("lone", "alone", lone))
    scenes = [(float(a), float(b)) for a, b in spans(found)]
    counts = (
        f"{len(scenes)} scene{'' if len(scenes) == 1 else 's'}, {len(damaged)} damaged frames, {len(repairs)} repairs"
        f"{'' if facts.record else ' known (a record of the run would tell them)'}, "
        f"{len(lone)} frames without a partner"
    )
    drawn = timeline(whole, scenes, marks)
    return ["<h2>Timeline</h2>", f"<p>{counts}.</p>", f'<div class="scroll">{drawn}</div>']


def _scenes(found: Survey) -> list[str]:
    columns = [
        ("sharpness", "mean absolute Laplacian of luma, codes: more is sharper, or noisier"),
        ("blocks", "excess step at block edges, codes: 0 where no grid stands out"),
        ("flicker", "a frame's brightness against its neighbours', codes"),
    ]
    if any(s.niqe for s in found.scenes):
        columns.append(("NIQE", "distance from clean pictures' statistics: less is better"))
    for name, what in (("psnr", "dB against the truth"), ("ssim", "against the truth")):
        if any(f"{name}0" in s.truth for s in found.scenes):
            columns.append((name.upper(), what))
    head = "".join(
        f'<th scope="col" title="{escape(what)}">{escape(name)} A</th><th scope="col">B</th>'
        for name, what in columns
    )
    rows = []
    for number, (scene, (start, _)) in enumerate(zip(found.scenes, spans(found), strict=True), 1):
        cells = "".join(_cell(_value(found, scene, name)) for name, _ in columns)
        drift = found.drift(scene)
        last = "<td>-</td><td>-</td>"
        if drift is not None:
            last = f"<td>{drift[0]:+.2f}</td><td>{drift[1]:.2f}</td>"
        rows.append(
            f'<tr id="scene-{number}"><td>{number}</td><td>{clock(start)}</td>'
            f"<td>{scene.stop - scene.first}</td>{cells}{last}</tr>"
        )
    legend = "".join(f"<li>{escape(name)}: {escape(what)}</li>" for name, what in columns)
    return [
        "<h2>Scene by scene</h2>",
        '<div class="scroll" tabindex="0" role="region" aria-label="Measures by scene"><table><thead><tr><th scope="col">scene</th><th scope="col">starts</th><th scope="col">frames</th>'
        f'{head}<th scope="col">brightness B-A</th><th scope="col">colour drift</th></tr></thead><tbody>'
        f"{''.join(rows)}</tbody></table></div>",
        f'<ul class="soft">{legend}<li>brightness and colour drift: B less A, mean luma and distance of the mean '
        "colours, codes</li></ul>",
    ]


def _value(found: Survey, scene: Scene, name: str) -> tuple[float, float] | None:
    if name == "sharpness":
        return mean_pair(scene.sharpness)
    if name == "blocks":
        return scene.blocks
    if name == "flicker":
        return found.flicker(scene)
    if name == "NIQE":
        return mean_pair(scene.niqe)
    both = [scene.truth.get(f"{name.lower()}{side}", []) for side in (0, 1)]
    if not all(both):
        return None
    a, b = (sum(v for v, _ in rows) / len(rows) for rows in both)
    return a, b


def _cell(value: tuple[float, float] | None) -> str:
    if value is None:
        return "<td>-</td><td>-</td>"
    return "".join(f"<td>{v:.3g}</td>" for v in value)


def _plots(found: Survey, whole: tuple[float, float]) -> list[str]:
    known = [(float(t), m) for t, m in zip(found.times, found.means, strict=True) if m is not None]
    sharp: list[list[tuple[float, float]]] = [[], []]
    for scene in found.scenes:
        for n, pair in zip(scene.numbers, scene.sharpness, strict=True):
            for side in (0, 1):
                sharp[side].append((float(found.times[n]), pair[side]))
    parts = [
        curves(
            *("Mean brightness", "codes"),
            [(name, [(t, m[side][0]) for t, m in known]) for side, name in enumerate("AB")],
            whole,
        ),
        curves("Sharpness", "codes", [("A", sharp[0]), ("B", sharp[1])], whole),
    ]
    truth = [
        [(t, v) for s in found.scenes for v, t in s.truth.get(f"psnr{side}", [])] for side in (0, 1)
    ]
    parts.append(
        curves("PSNR against the truth", "dB", [("A", truth[0]), ("B", truth[1])], whole)
        if all(truth)
        else ""
    )
    return ["<h2>Over time</h2>", *(f'<div class="scroll">{p}</div>' for p in parts if p)]


def _pipeline(facts: Facts) -> list[str]:
    parts = ["<h2>How it was made</h2>"]
    if facts.record is None:
        parts.append(
            '<p class="soft">No record of the run was given: <code>restore run --report</code> or '
            "<code>--record FILE</code> (what <code>--json</code> wrote) shows the pipeline here.</p>"
        )
        return parts
    return [*parts, *_made_by(facts.record)]


def _made_by(record: Mapping[str, Any]) -> list[str]:
    pipeline = record["pipeline"]
    rows = [
        ("pipeline", pipeline["name"]),
        ("fingerprint of the settings", pipeline["fingerprint"]),
    ]
    rows += [(f"input {f['path']}", f"SHA-256 {f['sha256']}") for f in record["input"]["files"]]
    if record.get("output"):
        rows.append((f"output {record['output']['path']}", f"SHA-256 {record['output']['sha256']}"))
    rows += [(f"weights {w['name']}", f"SHA-256 {w['sha256']}") for w in record.get("weights", ())]
    rows += [(f"version of {name}", value) for name, value in record["versions"].items()]
    table = "".join(f"<tr><th>{escape(k)}</th><td>{escape(str(v))}</td></tr>" for k, v in rows)
    settings = escape(json.dumps(pipeline["settings"], indent=1, ensure_ascii=False))
    timing = escape(json.dumps(record["timing"], indent=1, ensure_ascii=False))
    return [
        f'<table class="facts"><tbody>{table}</tbody></table>',
        f"<details><summary>Every setting</summary><pre>{settings}</pre></details>",
        f"<details><summary>Time it took, in seconds</summary><pre>{timing}</pre></details>",
    ]


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{b64encode(content).decode()}"


def _file(name: str) -> str:
    return (_HERE / name).read_text("utf-8")
