"""What x264 and x265 made of their options, as they write it into the stream: they limit and drop some without a word."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import av

from restore.io.encoder import open_encoder
from restore.io.output import OutputOptions
from restore.io.shaping import PARAMS, SWITCH
from restore.video import VideoFormat

_SIZE = (256, 144)
_OTHER_NAMES = {
    "ipratio": "ip_ratio",
    "merange": "me_range",
    "min-keyint": "keyint_min",
    "pbratio": "pb_ratio",
}
_OF_FFMPEG = {"bf": "bframes", "g": "keyint", "me_range": "merange", "refs": "ref", "subq": "subme"}
"""Keys of x264 under FFmpeg's names."""
_SAID_OTHERWISE = frozenset({"chroma-qp-offset", "deblock", "scenecut-bias", "level-idc", "crf"})
"""Keys whose value the record shows on another scale, or with something added."""
_ROUNDED = 0.006
"""The record has two digits behind the point."""


def not_applied(options: OutputOptions, fmt: VideoFormat) -> list[str]:
    """Every free option that the encoder took otherwise than it was given, each 'options.KEY: expected ..., got ...'.
    Nothing for encoders that keep no record. Raises OutputError where the encoder does not open."""
    if options.codec not in ("libx264", "libx264rgb", "libx265"):
        return []
    option, rules = PARAMS[options.codec]
    asked = {_OF_FFMPEG[k]: (k, v) for k, v in options.options.items() if k in _OF_FFMPEG}
    for part in options.options.get(option, "").split(":"):
        key, _, value = part.partition("=")
        if key in rules:
            asked[key] = (f"{option}: {key}", value)
    if not asked:
        return []
    record = _record(options, fmt)
    found = []
    for key, (where, value) in asked.items():
        taken = _taken(record, options.codec, key, switch=rules[key] is SWITCH)
        if key not in _SAID_OTHERWISE and taken is not None and _differ(value, taken):
            found.append(
                f"options.{where}: expected that {options.codec} takes {value}, it takes {taken}: with the preset and "
                "the other options it can do no other; change or leave out"
            )
    return found


def _record(options: OutputOptions, fmt: VideoFormat) -> dict[str, str]:
    """What the encoder writes of its settings beside the first picture."""
    small = replace(fmt, width=_SIZE[0], height=_SIZE[1])
    encoder = open_encoder(options, small)
    frame = av.VideoFrame(*_SIZE, encoder.pix_fmt or "")
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    frame.pts, frame.time_base = 0, small.time_base
    packets = [*encoder.encode(frame), *encoder.encode(None)]
    data = (encoder.extradata or b"") + b"".join(bytes(p) for p in packets)
    text = re.search(rb"options: ([ -~]*)", data)
    if text is None:
        return {}
    words = (word.partition("=") for word in text[1].decode().split())
    return {key: value if equals else "" for key, equals, value in words}


def _taken(record: Mapping[str, str], codec: str, key: str, *, switch: bool) -> str | None:
    """The value in the record; None where it does not say."""
    if codec != "libx265":
        return record.get(_OTHER_NAMES.get(key, key.replace("-", "_")))
    if switch:
        return "1" if record.get(key) == "" else "0" if f"no-{key}" in record else record.get(key)
    return record.get(key) or None


def _differ(given: str, taken: str) -> bool:
    """As numbers where both are, as words where neither is; names of numbers are not known."""
    a, b = _numbers(given), _numbers(taken)
    if a is None and b is None:
        return given != taken
    if a is None or b is None or len(a) > len(b):
        return False
    return any(abs(x - y) > _ROUNDED for x, y in zip(a, b, strict=False))


def _numbers(text: str) -> list[float] | None:
    try:
        return [float(part) for part in re.split("[,:]", text)]
    except ValueError:
        return None
