"""Timeline and curves as SVG: drawn here, nothing is fetched."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 900, 200, 68, 10, 12, 24
_POINTS = 1200
"""At most, of a curve: more cannot be seen."""

Point = tuple[float, float]


def curves(title: str, unit: str, lines: Sequence[tuple[str, Sequence[Point]]], span: Point) -> str:
    """(name, [(seconds, value)]) each, over one axis of time, `span` from start to end. Empty where there is no point."""
    values = [v for _, points in lines for _, v in points]
    if not values:
        return ""
    low, high = min(values), max(values)
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5

    def x(t: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (t - span[0]) / max(span[1] - span[0], 1e-9)

    def y(v: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - v) / (high - low)

    parts = [
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)} over time">'
    ]
    for n in range(3):
        value = low + (high - low) * n / 2
        parts.append(
            f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
            f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.3g}</text>'
        )
    for n in range(5):
        t = span[0] + (span[1] - span[0]) * n / 4
        anchor = "start" if n == 0 else "end" if n == 4 else "middle"
        parts.append(
            f'<text x="{x(t):.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">{_clock(t)}</text>'
        )
    for number, (name, points) in enumerate(lines):
        thin = points[:: max(1, len(points) // _POINTS)]
        path = " ".join(f"{x(t):.1f},{y(v):.1f}" for t, v in thin)
        parts.append(
            f'<polyline class="line{number}" points="{path}"><title>{escape(name)}</title></polyline>'
        )
    parts.append("</svg>")
    key = " ".join(
        f'<span class="key{n}">{escape(name)}</span>' for n, (name, _) in enumerate(lines)
    )
    return f"<figure><figcaption>{escape(title)}, {escape(unit)}: {key}</figcaption>{''.join(parts)}</figure>"


def timeline(
    span: Point,
    scenes: Sequence[Point],
    marks: Sequence[tuple[str, str, Sequence[tuple[float, str]]]],
) -> str:
    """`span`: start and end in seconds; `scenes`: (start, end), which link to their rows (#scene-N); `marks`: (class, name, [(seconds, what)]), a row each."""
    row, bar = 22, 30
    height = TOP + bar + row * len(marks) + BOTTOM

    def x(t: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (t - span[0]) / max(span[1] - span[0], 1e-9)

    parts = [
        f'<svg class="plot" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Timeline: scenes, damage, repairs">',
        f'<text x="{LEFT - 6}" y="{TOP + 20}" text-anchor="end">scenes</text>',
    ]
    for number, (start, end) in enumerate(scenes):
        wide = max(0.5, x(end) - x(start) - 0.5)
        parts.append(
            f'<a href="#scene-{number + 1}"><rect class="scene{number % 2}" x="{x(start):.2f}" y="{TOP}" '
            f'width="{wide:.2f}" height="{bar - 4}"><title>scene {number + 1}, {_clock(start)} to {_clock(end)}'
            "</title></rect></a>"
        )
    for place, (kind, name, events) in enumerate(marks):
        y = TOP + bar + row * place
        parts.append(f'<text x="{LEFT - 6}" y="{y + 13}" text-anchor="end">{escape(name)}</text>')
        parts.append(
            f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y + 16}" y2="{y + 16}"/>'
        )
        parts += [
            f'<rect class="{kind}" x="{x(t) - 1:.2f}" y="{y}" width="2.5" height="16"><title>{_clock(t)}: '
            f"{escape(what)}</title></rect>"
            for t, what in events
        ]
    for n in range(5):
        t = span[0] + (span[1] - span[0]) * n / 4
        anchor = "start" if n == 0 else "end" if n == 4 else "middle"
        parts.append(
            f'<text x="{x(t):.1f}" y="{height - 6}" text-anchor="{anchor}">{_clock(t)}</text>'
        )
    return "".join([*parts, "</svg>"])


def _clock(seconds: float) -> str:
    whole = round(seconds, 1)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"
