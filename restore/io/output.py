"""What the result is encoded as: the settings, and the containers there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from restore.errors import OutputError
from restore.options import Options

CONTAINERS = {
    ".mkv": "matroska",
    ".mp4": "mp4",
    ".mov": "mov",
    ".webm": "webm",
    ".avi": "avi",
    ".ts": "mpegts",
}
"""FFmpeg's name of the container, by the output file's ending."""


class OutputOptions(Options):
    """Table [output]: how the result is encoded."""

    use: Literal["delivery", "archive", "preview"] = "delivery"
    """What the file is for; sets the defaults of codec, crf, preset and sample depth. delivery: to watch and
    keep, libx264; archive: lossless ffv1 in .mkv with checksums and a log of the work; preview: a quick look."""
    codec: str = "libx264"
    """FFmpeg's name of the encoder: libx264, libx265, libsvtav1, libvpx-vp9, ffv1 (lossless), prores_ks,
    h264_nvenc, hevc_nvenc, av1_nvenc, or another."""
    crf: float = Field(default=18, ge=0, le=63)
    """Constant quality on the encoder's own scale: lower is better and larger. Without it, what looks like 18
    of libx264 (23 for previews); ffv1 and prores_ks have none."""
    preset: str = "medium"
    """Speed against size, ultrafast to placebo for every encoder; libsvtav1 also takes its own 0 (slow) to 13,
    nvenc p1 to p7 (slow); ffv1 and prores_ks have none."""
    pixel_format: str = "auto"
    """FFmpeg's name, for example yuv420p10le; auto: the chain's chroma and depth, or the nearest that
    the encoder takes. Odd sizes are written in 4:4:4 where they must be."""
    options: dict[str, str] = Field(default_factory=dict)
    """Free options of the encoder, as FFmpeg names them, for example {"tune": "grain"}: those that shape the picture and do
    nothing else. They win over the defaults."""
    audio: Literal["copy", "flac", "none"] = "copy"
    """copy: bit for bit where the container allows, else lossless FLAC; flac: always; none: drop."""
    dither: bool = True
    """Dither before rounding to output codes, so that smooth areas do not band."""

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_use(cls, given: Any) -> Any:
        """What is not given follows from `use` and the codec."""
        if not isinstance(given, dict):
            return given
        use = given.get("use", "delivery")
        defaults = _USES.get(use) if isinstance(use, str) else None
        if defaults is None:  # the field itself says what is wrong
            return given
        merged = {**defaults, **given}
        quality = QUALITY.get(merged["codec"]) if isinstance(merged["codec"], str) else None
        if quality is not None:
            merged.setdefault("crf", quality[use == "preview"])
        return merged


_USES: dict[str, dict[str, Any]] = {
    "delivery": {"codec": "libx264", "preset": "medium"},
    "archive": {"codec": "ffv1"},
    "preview": {"codec": "libx264", "preset": "veryfast"},
}

QUALITY: dict[str, tuple[float, float]] = {
    "libx264": (18, 23),
    "libx265": (20, 26),
    "libsvtav1": (24, 35),
    "libvpx-vp9": (22, 33),
    "h264_nvenc": (19, 26),
    "hevc_nvenc": (21, 28),
    "av1_nvenc": (26, 36),
    "mpeg2video": (18, 23),
}
"""crf of (delivery, preview): about the same picture on each encoder's own scale. mpeg2video has no scale of
quality; ours is libx264's (see restore.io.encoder)."""

CRF_LIMITS = {"libx264": 51, "libx265": 51, "h264_nvenc": 51, "hevc_nvenc": 51, "av1_nvenc": 51}
"""Highest crf (cq of NVENC) of encoders whose scale ends before that of the others, which is 63."""

LOSSLESS = frozenset({"ffv1", "ffvhuff", "huffyuv", "utvideo", "magicyuv"})
"""Encoders that give every code back: they get the source's own kind of planes, grey and RGB included."""


def fitted_to(options: OutputOptions, container: str | None) -> OutputOptions:
    """`options` with what `container` needs: AVI cannot say when a frame is shown, so none may be coded ahead of
    its turn."""
    if container != "avi" or "bf" in options.options:
        return options
    return options.model_copy(update={"options": {"bf": "0", **options.options}})


def container_of(out_path: Path) -> str:
    """FFmpeg's name of the container for an output file. Raises OutputError."""
    found = CONTAINERS.get(out_path.suffix.lower())
    if found is None:
        raise OutputError(unknown_container(out_path))
    return found


def unknown_container(out_path: Path) -> str:
    """The problem with a name whose ending stands for no container."""
    known = ", ".join(CONTAINERS)
    return f"{out_path.name}: expected a name that ends in {known}, got {out_path.suffix!r}"
