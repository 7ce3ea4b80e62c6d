"""Which of an encoder's own options a pipeline file may set: those that shape the picture and do nothing else.

Encoders also take names of files to write or read, addresses, numbers of threads and switches for their log; and some swallow
what they do not know. Whatever is not listed here is refused, and so is a value that an encoder would misread or limit in silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from av.codec.context import CodecContext, OptionType

from restore.options import hint

_NUMBER = re.compile(r"[+-]?\d{1,9}(\.\d{1,9})?")
_PLAIN = re.compile(r"[A-Za-z0-9_.+-]{1,40}")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")


@dataclass(frozen=True)
class Rule:
    """What the value of an option may be."""

    expected: str
    """For people: 'a number from 0 to 51'."""
    words: frozenset[str] = frozenset()
    low: float = 0
    high: float = -1
    """Bounds of the numbers; below `low`: words alone."""
    whole: bool = False
    most: int = 1
    """Numbers, or words of a list."""
    between: str = ","
    """Regular expression of what parts them."""

    def takes(self, value: str) -> bool:
        """Whether `value` is such a value, with nothing around it."""
        parts = re.split(self.between, value)
        return value != "" and len(parts) <= self.most and all(self._one(part) for part in parts)

    def _one(self, part: str) -> bool:
        if part in self.words:
            return True
        if not _NUMBER.fullmatch(part) or (self.whole and "." in part):
            return False
        return self.low <= float(part) <= self.high


def _whole(low: int, high: int, *words: str) -> Rule:
    said = f" or one of {', '.join(words)}" if words else ""
    text = f"a whole number from {low} to {high}{said}"
    return Rule(text, frozenset(words), low, high, whole=True)


def _real(low: float, high: float) -> Rule:
    return Rule(f"a number from {low:g} to {high:g}", low=low, high=high)


def _pair(low: float, high: float, between: str = ",") -> Rule:
    text = f"one or two numbers from {low:g} to {high:g}, parted by a comma"
    return Rule(text, low=low, high=high, most=2, between=between)


def _word(*words: str) -> Rule:
    return Rule(f"one of {', '.join(words)}", frozenset(words))


def _list(*words: str) -> Rule:
    return Rule(f"one or more of {', '.join(words)}", frozenset(words), most=len(words))


SWITCH = _word("0", "1")
_RATE = _whole(0, 999_999_999)
_X264_PARTS = ("p8x8", "p4x4", "b8x8", "i8x8", "i4x4", "none", "all")
_TUNES = ("animation", "fastdecode", "grain", "psnr", "ssim", "zerolatency")
_LEVELS = (
    *("1", "1b", "1.1", "1.2", "1.3", "2", "2.1", "2.2", "3", "3.1", "3.2"),
    *("4", "4.1", "4.2", "5", "5.1", "5.2", "6", "6.1", "6.2"),
)

_X264: dict[str, Rule] = {
    "8x8dct": SWITCH,
    "analyse": _list(*_X264_PARTS),
    "aq-mode": _whole(0, 3),
    "aq-strength": _real(0, 3),
    "aud": SWITCH,
    "b-adapt": _whole(0, 2),
    "b-bias": _whole(-100, 100),
    "b-pyramid": _whole(0, 2, "none", "strict", "normal"),
    "bframes": _whole(0, 16),
    "bitrate": _whole(1, 2_000_000),
    "bluray-compat": SWITCH,
    "cabac": SWITCH,
    "chroma-me": SWITCH,
    "chroma-qp-offset": _whole(-32, 32),
    "constrained-intra": SWITCH,
    "cplxblur": _real(0, 999),
    "cqm": _word("flat", "jvt"),
    "crf": _real(0, 51),
    "crf-max": _real(0, 51),
    "dct-decimate": SWITCH,
    "deadzone-inter": _whole(0, 32),
    "deadzone-intra": _whole(0, 32),
    "deblock": _pair(-6, 6),
    "direct": _word("none", "spatial", "temporal", "auto"),
    "fast-pskip": SWITCH,
    "intra-refresh": SWITCH,
    "ipratio": _real(0.1, 10),
    "keyint": _whole(1, 10_000, "infinite"),
    "level": _word(*_LEVELS),
    "mbtree": SWITCH,
    "me": _word("dia", "hex", "umh", "esa", "tesa"),
    "merange": _whole(4, 1024),
    "min-keyint": _whole(1, 5_000),
    "mixed-refs": SWITCH,
    "nr": _whole(0, 65_536),
    "open-gop": SWITCH,
    "partitions": _list(*_X264_PARTS),
    "pbratio": _real(0.1, 10),
    "psy": SWITCH,
    "psy-rd": _pair(0, 10),
    "qblur": _real(0, 999),
    "qcomp": _real(0, 1),
    "qp": _whole(0, 51),
    "qpmax": _whole(0, 69),
    "qpmin": _whole(0, 51),
    "qpstep": _whole(2, 69),
    "ratetol": _real(0.01, 100),
    "rc-lookahead": _whole(0, 250),
    "ref": _whole(1, 16),
    "scenecut": _whole(0, 100),
    "slice-max-size": _whole(100, 1_000_000),
    "slices": _whole(0, 64),
    "subme": _whole(0, 11),
    "trellis": _whole(0, 2),
    "vbv-bufsize": _whole(0, 2_000_000),
    "vbv-init": _real(0, 1),
    "vbv-maxrate": _whole(0, 2_000_000),
    "weightb": SWITCH,
    "weightp": _whole(0, 2),
}
"""Keys of x264-params."""

_X265: dict[str, Rule] = {
    "amp": SWITCH,
    "aq-mode": _whole(0, 4),
    "aq-motion": SWITCH,
    "aq-strength": _real(0, 3),
    "aud": SWITCH,
    "b-adapt": _whole(0, 2),
    "b-intra": SWITCH,
    "b-pyramid": SWITCH,
    "bframe-bias": _whole(-90, 100),
    "bframes": _whole(0, 16),
    "bitrate": _whole(1, 2_000_000),
    "cbqpoffs": _whole(-12, 12),
    "const-vbv": SWITCH,
    "constrained-intra": SWITCH,
    "cplxblur": _real(0, 999),
    "crf": _real(0, 51),
    "crf-max": _real(0, 51),
    "crf-min": _real(0, 51),
    "crqpoffs": _whole(-12, 12),
    "ctu": _word("16", "32", "64"),
    "cu-lossless": SWITCH,
    "cutree": SWITCH,
    "deblock": _pair(-6, 6),
    "early-skip": SWITCH,
    "fades": SWITCH,
    "fast-intra": SWITCH,
    "hevc-aq": SWITCH,
    "high-tier": SWITCH,
    "hrd": SWITCH,
    "ipratio": _real(0.1, 10),
    "keyint": _whole(1, 10_000),
    "level-idc": _word(
        "1", "2", "2.1", "3", "3.1", "4", "4.1", "5", "5.1", "5.2", "6", "6.1", "6.2"
    ),
    "limit-modes": SWITCH,
    "limit-refs": _whole(0, 3),
    "limit-sao": SWITCH,
    "limit-tu": _whole(0, 4),
    "lossless": SWITCH,
    "max-merge": _whole(1, 5),
    "max-tu-size": _word("4", "8", "16", "32"),
    "mcstf": SWITCH,
    "me": _word("dia", "hex", "umh", "star", "sea", "full"),
    "merange": _whole(0, 1024),
    "min-cu-size": _word("8", "16", "32"),
    "min-keyint": _whole(0, 5_000),
    "nr-inter": _whole(0, 2_000),
    "nr-intra": _whole(0, 2_000),
    "open-gop": SWITCH,
    "pbratio": _real(0.1, 10),
    "psy-rd": _real(0, 5),
    "psy-rdoq": _real(0, 50),
    "qblur": _real(0, 999),
    "qcomp": _real(0.5, 1),
    "qg-size": _word("8", "16", "32", "64"),
    "qp": _whole(0, 51),
    "qpmax": _whole(0, 51),
    "qpmin": _whole(0, 51),
    "qpstep": _whole(1, 51),
    "rc-grain": SWITCH,
    "rc-lookahead": _whole(0, 250),
    "rd": _whole(1, 6),
    "rd-refine": SWITCH,
    "rdoq-level": _whole(0, 2),
    "rdpenalty": _whole(0, 2),
    "rect": SWITCH,
    "ref": _whole(1, 16),
    "rskip": _whole(0, 2),
    "rskip-edge-threshold": _whole(0, 100),
    "sao": SWITCH,
    "sao-non-deblock": SWITCH,
    "scenecut": _whole(0, 100),
    "scenecut-bias": _real(0, 100),
    "selective-sao": _whole(0, 4),
    "signhide": SWITCH,
    "splitrd-skip": SWITCH,
    "strict-cbr": SWITCH,
    "strong-intra-smoothing": SWITCH,
    "subme": _whole(0, 7),
    "temporal-mvp": SWITCH,
    "tskip": SWITCH,
    "tskip-fast": SWITCH,
    "tu-inter-depth": _whole(1, 4),
    "tu-intra-depth": _whole(1, 4),
    "vbv-bufsize": _whole(0, 2_000_000),
    "vbv-init": _real(0, 1),
    "vbv-maxrate": _whole(0, 2_000_000),
    "weightb": SWITCH,
    "weightp": SWITCH,
}
"""Keys of x265-params."""

_SVTAV1: dict[str, Rule] = {
    "aq-mode": _whole(0, 2),
    "chroma-qm-max": _whole(0, 15),
    "chroma-qm-min": _whole(0, 15),
    "enable-cdef": SWITCH,
    "enable-dlf": _whole(0, 2),
    "enable-mfmv": SWITCH,
    "enable-overlays": SWITCH,
    "enable-qm": SWITCH,
    "enable-restoration": SWITCH,
    "enable-tf": _whole(0, 2),
    "enable-variance-boost": SWITCH,
    "fast-decode": _whole(0, 2),
    "film-grain": _whole(0, 50),
    "film-grain-denoise": SWITCH,
    "hierarchical-levels": _whole(2, 5),
    "irefresh-type": _whole(1, 2),
    "keyint": _whole(-1, 10_000),
    "lookahead": _whole(0, 120),
    "max-qp": _whole(1, 63),
    "min-qp": _whole(1, 62),
    "qm-max": _whole(0, 15),
    "qm-min": _whole(0, 15),
    "qp-scale-compress-strength": _real(0, 3),
    "scd": SWITCH,
    "scm": _whole(0, 2),
    "sharpness": _whole(-7, 7),
    "tile-columns": _whole(0, 4),
    "tile-rows": _whole(0, 6),
    "tune": _whole(0, 2),
    "variance-boost-curve": _whole(0, 2),
    "variance-boost-strength": _whole(1, 4),
    "variance-octile": _whole(1, 8),
}
"""Keys of svtav1-params."""

PARAMS: dict[str, tuple[str, dict[str, Rule]]] = {
    "libx264": ("x264-params", _X264),
    "libx264rgb": ("x264-params", _X264),
    "libx265": ("x265-params", _X265),
    "libsvtav1": ("svtav1-params", _SVTAV1),
}
"""By encoder, the option that holds options of its library, and what may stand in it."""

_RATES: dict[str, Rule | None] = dict.fromkeys(("b", "maxrate", "bufsize", "rc_init_occupancy"))
_FRAMES: dict[str, Rule | None] = {
    "bf": _whole(-1, 16),
    "g": _whole(0, 10_000),
    "keyint_min": _whole(0, 5_000),
    "refs": _whole(1, 16),
    "flags": Rule(
        "one or more of +cgop, +loop, +mv4, +qpel, +aic, as in +cgop+loop",
        frozenset({"", "+cgop", "+loop", "+mv4", "+qpel", "+aic"}),
        most=6,
        between=r"(?=\+)",
    ),
}
_QUANTISERS: dict[str, Rule | None] = {
    "qmin": _whole(-1, 69),
    "qmax": _whole(-1, 69),
    "qdiff": _whole(1, 69),
    "qcomp": _real(0, 1),
    "qblur": _real(0, 999),
    **dict.fromkeys(("i_qfactor", "b_qfactor"), _real(-10, 10)),
}
_SHARED: dict[str, Rule | None] = {
    **_RATES,
    **_FRAMES,
    **_QUANTISERS,
    **dict.fromkeys(("minrate", "bt", "global_quality", "slices", "i_qoffset", "b_qoffset")),
    **dict.fromkeys(("rc_max_vbv_use", "rc_min_vbv_use", "compression_level")),
    **dict.fromkeys(("lumi_mask", "tcplx_mask", "scplx_mask", "p_mask", "dark_mask")),
    **dict.fromkeys(("cmp", "subcmp", "mbcmp", "precmp", "dia_size", "pre_dia_size", "last_pred")),
    **dict.fromkeys(
        ("me_range", "subq", "mbd", "bidir_refine", "trellis", "mv0_threshold", "nssew")
    ),
    **dict.fromkeys(("mblmin", "mblmax", "dc", "profile", "level", "strict")),
}
"""Options that FFmpeg has for every encoder, and its own encoders look at; None: a number or a name, which FFmpeg checks."""

_X264_OWN: dict[str, Rule | None] = {
    **_RATES,
    **_FRAMES,
    **_QUANTISERS,
    **dict.fromkeys(("preset", "profile", "avcintra-class", "coder", "me_method", "motion-est")),
    **dict.fromkeys(("direct-pred", "nal-hrd", "b")),
    **{
        name: _X264[name]
        for name in (
            *("8x8dct", "aq-mode", "aq-strength", "aud", "b-bias", "b-pyramid", "bluray-compat"),
            *("cplxblur", "crf", "fast-pskip", "intra-refresh", "level", "mbtree", "mixed-refs"),
            *("partitions", "psy", "qp", "rc-lookahead", "slices", "slice-max-size", "trellis"),
            *("weightb", "weightp"),
        )
    },
    "b_strategy": _X264["b-adapt"],
    "chromaoffset": _X264["chroma-qp-offset"],
    "crf_max": _X264["crf-max"],
    "deblock": _pair(-6, 6, "[,:]"),
    "me_range": _X264["merange"],
    "noise_reduction": _X264["nr"],
    "psy-rd": _pair(0, 10, "[,:]"),
    "sc_threshold": _X264["scenecut"],
    "subq": _X264["subme"],
    "tune": _list(*_TUNES, "film", "stillimage"),
    "wpredp": _X264["weightp"],
}
_OWN: dict[str, dict[str, Rule | None]] = {
    "libx264": _X264_OWN,
    "libx264rgb": _X264_OWN,
    "libx265": {
        **_RATES,
        **_FRAMES,
        **_QUANTISERS,
        **dict.fromkeys(("preset", "profile")),
        "crf": _real(0, 51),
        "qp": _whole(0, 51),
        "tune": _word(*_TUNES),
    },
    "libsvtav1": {
        **dict.fromkeys(("b", "maxrate", "bufsize", "g", "qmin", "qmax", "profile", "level")),
        **dict.fromkeys(("preset", "crf", "qp")),
        "bf": _word("0"),  # as every file for AVI asks
    },
}
"""Options of encoders whose library may do more than encode; any other gets those of _SHARED, and its own whose value is a
number, which names no file."""

_NEVER = frozenset(
    {
        *("deadline", "quality", "speed", "row-mt"),  # of libvpx: a clock, and threads
        *("non_deterministic", "error_rate", "no_bitstream", "memc_only"),
        *("a53cc", "s12m_tc", "udu_sei", "extra_sei", "mb_info", "forced-idr", "timing-info"),
        *("dolbyvision", "gpu", "surfaces", "delay", "timecode_frame_start", "drop_frame_timecode"),
    }
)
"""Options of other encoders that are numbers and not the picture's."""
_NUMERIC = frozenset(
    {
        *(OptionType.INT, OptionType.INT64, OptionType.FLOAT, OptionType.DOUBLE),
        *(OptionType.BOOL, OptionType.FLAGS),
    }
)


def problems_of(codec: str, options: Mapping[str, str]) -> list[str]:
    """Every reason why an encoder must not be given `options`, each 'options.KEY: expected ..., got ...; what to try'."""
    allowed = allowed_options(codec)
    own, keys = PARAMS.get(codec, ("", {}))
    found: list[str] = []
    for key, value in options.items():
        where = f"options.{key}" if _NAME.fullmatch(key) else "options"
        if own and key == own:
            found += _params_problems(where, own, keys, value)
        elif key not in allowed:
            known = [*allowed, own] if own else allowed
            near = hint(key, known)
            found.append(
                f"{where}: expected an option of {codec} that shapes the picture and does nothing else, "
                f"got {key!r}{near}"
            )
        else:
            rule = allowed[key]
            if not (rule.takes(value) if rule else _PLAIN.fullmatch(value)):
                wanted = rule.expected if rule else "a number or a name, without quotes"
                found.append(f"{where}: expected {wanted}, got {value!r}")
    return found


def _params_problems(where: str, option: str, keys: Mapping[str, Rule], text: str) -> Iterator[str]:
    """Of 'key=value:key=value', without quotes and backslashes: both mean something to FFmpeg."""
    seen = set[str]()
    for part in text.split(":"):
        key, equals, value = part.partition("=")
        if not equals or not _NAME.fullmatch(key):
            yield f"{where}: expected key=value:key=value without quotes or spaces, got {part!r}"
            continue
        if key in seen:
            yield f"{where}: {key}: given twice; leave one out"
        seen.add(key)
        rule = keys.get(key)
        if rule is None:
            yield (
                f"{where}: expected a key of {option} that shapes the picture and does nothing else, got {key!r}"
                f"{hint(key, keys)}"
            )
        elif not rule.takes(value):
            yield f"{where}: {key}: expected {rule.expected}, got {value!r}"


@cache
def allowed_options(codec: str) -> Mapping[str, Rule | None]:
    """By name, what an encoder may be given of FFmpeg's options, beside those of PARAMS."""
    return _OWN[codec] if codec in _OWN else _SHARED | dict.fromkeys(_numbers_of(codec))


def _numbers_of(codec: str) -> list[str]:
    context = CodecContext.create(codec, "w")
    return [
        o.name
        for o in context.supported_options.private
        if o.type in _NUMERIC and o.name not in _NEVER
    ]
