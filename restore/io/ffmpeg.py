"""What the linked FFmpeg libraries can do, and where the static FFmpeg program is."""

from __future__ import annotations

import av
import imageio_ffmpeg

_DECODERS = {
    "RealVideo": ("rv10", "rv20", "rv30", "rv40"),
    "RealAudio": ("cook", "sipr", "ra_288", "ra_144"),
    "MPEG": ("mpeg1video", "mpeg2video", "mpeg4", "h264", "hevc"),
    "Microsoft": ("msmpeg4v2", "msmpeg4", "wmv2", "vc1", "wmav2"),
    "Flash": ("flv", "vp6f"),
}
_ENCODERS = (
    *("libx264", "libx265", "libsvtav1", "libvpx-vp9", "ffv1", "prores_ks"),
    *("flac", "alac"),
)


def ffmpeg_binary() -> str | None:
    """Path of the static FFmpeg that imageio-ffmpeg brings, or None where it has none."""
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError:  # a wheel without a program for this machine
        return None


def capabilities() -> dict[str, str]:
    """Facts for `restore doctor`: the libraries' versions, and what of the codecs restore is made for is
    there. A value that holds the word 'missing' is a fault."""
    libavcodec = ".".join(map(str, av.library_versions["libavcodec"]))
    facts = {"PyAV": f"{av.__version__}, FFmpeg {av.ffmpeg_version_info}, libavcodec {libavcodec}"}
    for family, names in _DECODERS.items():
        facts[f"{family} decoders"] = _presence(names, "r")
    facts["encoders"] = _presence(_ENCODERS, "w")
    return facts


def _presence(names: tuple[str, ...], mode: str) -> str:
    missing = [name for name in names if not _has(name, mode)]
    if missing:
        return f"missing: {', '.join(missing)}"
    return ", ".join(names)


def _has(name: str, mode: str) -> bool:
    try:
        av.Codec(name, "r" if mode == "r" else "w")
    except ValueError:
        return False
    return True
