"""What a stream is called and what it is for, from one file to another."""

from __future__ import annotations

from av.stream import Disposition, Stream

from restore.io.text import decode_text

_OF_THE_OLD_FILE = (
    *("DURATION", "ENCODER", "HANDLER_NAME", "VENDOR_ID", "_STATISTICS"),
    *("BPS", "NUMBER_OF_FRAMES", "NUMBER_OF_BYTES", "VARIANT_BITRATE", "ID3V2_PRIV", "TIMECODE"),
)
"""Tags (their beginnings) that would be wrong in a new file."""

_USES = {
    "default": Disposition.default,
    "forced": Disposition.forced,
    "dub": Disposition.dub,
    "original": Disposition.original,
    "comment": Disposition.comment,
    "hearing impaired": Disposition.hearing_impaired,
    "visual impaired": Disposition.visual_impaired,
}


def name_stream(stream: Stream, known: Stream, container: str) -> None:
    """Give `stream`, of an output in `container`, the language, title and the like of `known`, and what it is
    for."""
    for key, value in known.metadata.items():
        if not key.upper().startswith(_OF_THE_OLD_FILE):
            stream.metadata[key] = decode_text(value.encode("latin-1"))
    language = _language(known)
    if language:
        stream.metadata["language"] = _BIBLIOGRAPHIC.get(language, language)
        if container in ("mp4", "mpegts"):
            stream.metadata["language"] = language
    stream.disposition = known.disposition


def lost_names(known: Stream, found: Stream) -> tuple[str, ...]:
    """What of the names of `known` a reader of `found` does not see: 'language', 'title', a mark such as
    'mark as default'. Both were read as latin-1."""
    lost = []
    if _language(known) and _language(found) != _language(known):
        lost.append("language")
    if _title(known) and _title(found) != _title(known):
        lost.append("title")
    missing = known.disposition & ~found.disposition
    return (*lost, *(f"mark as {name}" for name, use in _USES.items() if missing & use))


def _language(stream: Stream) -> str | None:
    language = stream.metadata.get("language")
    return None if language in (None, "", "und") else _TERMINOLOGICAL.get(language, language)


_TERMINOLOGICAL = {
    "alb": "sqi",
    "arm": "hye",
    "baq": "eus",
    "bur": "mya",
    "chi": "zho",
    "cze": "ces",
    "dut": "nld",
    "fre": "fra",
    "geo": "kat",
    "ger": "deu",
    "gre": "ell",
    "ice": "isl",
    "mac": "mkd",
    "mao": "mri",
    "may": "msa",
    "per": "fas",
    "rum": "ron",
    "slo": "slk",
    "tib": "bod",
    "wel": "cym",
}
"""ISO 639-2 has two codes for some languages: Matroska and QuickTime want these, MP4 those."""
_BIBLIOGRAPHIC = {t: b for b, t in _TERMINOLOGICAL.items()}


def _title(stream: Stream) -> str:
    for key in ("title", "name"):
        if key in stream.metadata:
            return decode_text(stream.metadata[key].encode("latin-1"))
    return ""
