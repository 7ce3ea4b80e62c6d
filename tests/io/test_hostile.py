"""No file makes restore open another one, or an address: watched by the kernel, not by what the library says."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import av
import pytest
from media_clips import make_clip, make_sounding_clip

from restore.errors import InputError, RestoreError
from restore.io.decode import decode
from restore.io.probe import InputOptions, probe
from restore.io.sound import SoundCount, sound_of
from restore.io.streams import plan_streams

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="opens are watched with inotify")

IN_OPEN = 0x20


class Watch:
    """Names of files opened in a folder, and whether anyone connected to `port`."""

    def __init__(self, folder: Path) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._libc.inotify_init1(os.O_NONBLOCK)
        watched = self._libc.inotify_add_watch(self._descriptor, os.fsencode(folder), IN_OPEN)
        assert self._descriptor >= 0 and watched >= 0, os.strerror(ctypes.get_errno())
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.port = self._socket.getsockname()[1]

    def opened(self) -> set[str]:
        """Since the last call."""
        names, data = set(), b""
        with suppress(BlockingIOError):
            while part := os.read(self._descriptor, 1 << 16):
                data += part
        while data:
            length = struct.unpack("iIII", data[:16])[3]
            names.add(os.fsdecode(data[16 : 16 + length].rstrip(b"\0")))
            data = data[16 + length :]
        return names

    def connected(self) -> bool:
        try:
            self._socket.accept()[0].close()
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        os.close(self._descriptor)
        self._socket.close()


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    folder = tmp_path / "watched"
    folder.mkdir()
    watcher = Watch(folder)
    yield watcher
    watcher.close()


def hls(target: str) -> bytes:
    return (
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n"
        f"#EXTINF:1.0,\n{target}\n#EXT-X-ENDLIST\n"
    ).encode()


def playlists(target: str, port: int) -> dict[str, bytes]:
    """Text and XML whose only content is the name of something else, under true and false suffixes."""
    mpd = (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT1S"><Period><AdaptationSet mimeType="video/mp4">'
        f'<Representation id="1" bandwidth="1"><BaseURL>{target}</BaseURL></Representation>'
        "</AdaptationSet></Period></MPD>"
    )
    imf = (
        '<?xml version="1.0"?><CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016">'
        f"<Id>urn:uuid:0</Id><ContentTitle>{target}</ContentTitle></CompositionPlaylist>"
    )
    sdp = (
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        f"m=video {port} RTP/AVP 32\r\n"
    )
    smil = f'<smil><body><video src="{target}"/></body></smil>'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{target}" width="9" height="9"/></svg>'
    return {
        "list.m3u8": hls(target),
        "list.mkv": hls(target),
        "list.ts": hls(target),
        "concat.ffconcat": f"ffconcat version 1.0\nfile '{target}'\n".encode(),
        "concat.avi": f"ffconcat version 1.0\nfile '{target}'\n".encode(),
        "dash.mpd": mpd.encode(),
        "dash.mp4": mpd.encode(),
        "package.xml": imf.encode(),
        "session.sdp": sdp.encode(),
        "session.mpg": sdp.encode(),
        "redirect.asx": f'<asx version="3"><entry><ref href="{target}"/></entry></asx>'.encode(),
        "redirect.wmv": f"[Reference]\r\nRef1={target}\r\nRef2={target}\r\n".encode(),
        "redirect.ram": f"{target}\r\n".encode(),
        "redirect.rm": f"{target}\r\n".encode(),
        "scene.smil": smil.encode(),
        "picture.svg": svg.encode(),
        "list.pls": f"[playlist]\nFile1={target}\nNumberOfEntries=1\n".encode(),
        "disc.cue": f'FILE "{target}" BINARY\n  TRACK 01 MODE2/2352\n    INDEX 01 00:00:00\n'.encode(),
        "link.url": f"[InternetShortcut]\r\nURL={target}\r\n".encode(),
        "script.avs": f'DirectShowSource("{target}")\n'.encode(),
        "script.vpy": f"import os; open({target!r})\n".encode(),
        "graph.lavfi": f"movie={target}".encode(),
        "data.ffmeta": f";FFMETADATA1\ntitle={target}\n".encode(),
    }


def look_at(path: Path) -> bool:
    """Everything restore does with a file before it renders; whether it was taken for a video."""
    try:
        source = probe(path, InputOptions())
        for _ in decode(source):
            pass
        for stream in source.audio:
            for _ in sound_of(source, stream.index, SoundCount()):
                pass
        plan_streams(source, "mkv", "copy")
    except RestoreError:
        return False
    return True


@pytest.mark.parametrize("kind", ["name", "path", "file", "http"])
def test_playlists_and_redirects_are_not_followed(tmp_path: Path, watch: Watch, kind: str) -> None:
    folder = tmp_path / "watched"
    canary = make_clip(folder / "canary.ts", "-c:v", "mpeg2video", seconds=0.2)
    target = {
        "name": canary.name,
        "path": str(canary),
        "file": f"file://{canary}",
        "http": f"http://127.0.0.1:{watch.port}/canary.ts",
    }[kind]
    files = playlists(target, watch.port)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    watch.opened()
    taken = [name for name in files if look_at(folder / name)]
    assert taken == []
    assert watch.opened() == set(files), "only the inputs themselves were opened"
    assert not watch.connected()


def test_the_watch_sees_what_ffmpeg_does_without_our_limits(tmp_path: Path, watch: Watch) -> None:
    """The proof that the tests here can fail."""
    folder = tmp_path / "watched"
    make_clip(folder / "canary.ts", "-c:v", "mpeg2video", seconds=0.2)
    (folder / "list.m3u8").write_bytes(hls("canary.ts"))
    (folder / "far.m3u8").write_bytes(hls(f"http://127.0.0.1:{watch.port}/canary.ts"))
    watch.opened()
    with av.open(str(folder / "list.m3u8")):
        pass
    assert "canary.ts" in watch.opened()
    loose = {"protocol_whitelist": "file,http,tcp"}
    with pytest.raises(av.FFmpegError):
        av.open(str(folder / "far.m3u8"), container_options=loose, timeout=0.2)
    assert watch.connected()


Box = tuple[bytes, bytes]


def with_reference(data: bytes, entry: bytes) -> bytes:
    """A QuickTime file (its index behind the pictures) whose data references are `entry`."""
    out, at = b"", 0
    while at + 8 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        body = data[at + 8 : at + size]
        if kind in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
            body = with_reference(body, entry)
        elif kind == b"dref":
            body = struct.pack(">II", 0, 1) + entry
        out += struct.pack(">I", len(body) + 8) + kind + body
        at += size
    return out


def reference(kind: bytes, target: bytes) -> bytes:
    """An entry of a data reference table: of another file, not of this one."""
    if kind == b"alis":
        # As a Macintosh wrote it: the name, how far up and down it lies, then the path in a tagged field.
        alias = bytearray(150)
        name = target.split(b"/")[-1]
        alias[50 : 51 + len(name)] = bytes([len(name)]) + name
        alias[130:134] = struct.pack(">HH", 1, 1)
        path = target + b"\0" * (len(target) % 2)
        target = bytes(alias) + struct.pack(">HH", 2, len(target)) + path + b"\xff\xff\0\0"
    return struct.pack(">I", len(target) + 12) + kind + bytes(4) + target


@pytest.mark.parametrize("kind", [b"alis", b"url "])
def test_a_quicktime_reference_is_not_followed(tmp_path: Path, watch: Watch, kind: bytes) -> None:
    folder = tmp_path / "watched"
    movie = make_clip(folder / "canary.mov", "-c:v", "mjpeg", seconds=0.2).read_bytes()
    for number, target in enumerate(("canary.mov", str(folder / "canary.mov"), "/canary.mov")):
        changed = with_reference(movie, reference(kind, target.encode()))
        assert kind in changed
        path = folder / f"reference{number}.mov"
        path.write_bytes(changed)
        watch.opened()
        look_at(path)
        assert watch.opened() == {path.name}
        if kind == b"alis" and number == 1:  # the proof that there was something to follow
            loose = {"enable_drefs": "1", "use_absolute_path": "1"}
            with av.open(str(path), container_options=loose):
                assert "canary.mov" in watch.opened()


def test_a_playlist_inside_avi_subtitles_is_not_followed(tmp_path: Path, watch: Watch) -> None:
    folder = tmp_path / "watched"
    clip = make_sounding_clip(folder / "clip.avi", "-c:v", "mjpeg", "-c:a", "pcm_s16le")
    make_clip(folder / "canary.ts", "-c:v", "mpeg2video", seconds=0.2)
    data = bytearray(clip.read_bytes())
    data[data.index(b"auds") : data.index(b"auds") + 4] = b"txts"
    first = data.index(b"01wb", data.index(b"movi")) + 8
    playlist = hls(str(folder / "canary.ts"))
    subtitle = (
        b"GAB2\0" + struct.pack("<HI", 2, 0) + struct.pack("<HI", 4, len(playlist)) + playlist
    )
    data[first : first + len(subtitle)] = subtitle
    path = folder / "subtitled.avi"
    path.write_bytes(data)
    watch.opened()
    look_at(path)
    assert watch.opened() == {path.name}


def test_a_linked_matroska_segment_is_not_followed(tmp_path: Path, watch: Watch) -> None:
    folder = tmp_path / "watched"
    clip = make_clip(folder / "clip.mkv", "-c:v", "mjpeg", seconds=0.2)
    (folder / "next.mkv").write_bytes(clip.read_bytes())
    # NextUID and NextFilename take the place of padding in the segment's head.
    linked = b"\x3e\xb9\x23\x90" + bytes(range(16)) + b"\x3e\x83\xbb\x88next.mkv"
    data = bytearray(clip.read_bytes())
    void = data.index(b"\xec\x01")
    length = 9 + int.from_bytes(data[void + 2 : void + 9], "big")
    info = b"\x15\x49\xa9\x66" + bytes([0x80 | len(linked)]) + linked
    rest = length - len(info)
    data[void : void + length] = (
        info + b"\xec\x01" + (rest - 9).to_bytes(7, "big") + bytes(rest - 9)
    )
    path = folder / "linked.mkv"
    path.write_bytes(data)
    watch.opened()
    assert look_at(path)
    assert watch.opened() == {path.name}


@pytest.mark.parametrize(
    "name", ["a%d.png", "a%03d.png", "a?.png", "a*.png", "{a1,a0}.png", "a0.png"]
)
def test_a_pattern_in_a_name_opens_no_sequence(tmp_path: Path, watch: Watch, name: str) -> None:
    folder = tmp_path / "watched"
    frames = make_clip(folder / "a%d.png", "-frames:v", "3").parent
    (frames / "a0.png").write_bytes((frames / "a1.png").read_bytes())
    (frames / "a001.png").write_bytes((frames / "a1.png").read_bytes())
    path = frames / name
    path.write_bytes((frames / "a1.png").read_bytes())
    watch.opened()
    # FFmpeg takes a pattern for a sequence whatever is inside; then it is refused.
    assert look_at(path) is (name == "a0.png")
    assert watch.opened() == {name}


def test_neighbours_that_belong_to_a_file_are_not_opened(tmp_path: Path, watch: Watch) -> None:
    """VobSub keeps its pictures in a second file, MLV its pictures in several."""
    folder = tmp_path / "watched"
    index = "# VobSub index file, v7\nsize: 720x576\nid: en, index: 0\n"
    (folder / "titles.idx").write_text(index + "timestamp: 00:00:01:000, filepos: 000000000\n")
    (folder / "titles.sub").write_bytes(bytes(2048))
    header = b"MLVI" + struct.pack("<I", 52) + b"v2.0\0\0\0\0" + bytes(36)
    (folder / "film.MLV").write_bytes(header + bytes(4096))
    (folder / "film.M00").write_bytes(header + bytes(4096))
    watch.opened()
    for name in ("titles.idx", "film.MLV"):
        assert not look_at(folder / name)
    assert watch.opened() == {"titles.idx", "film.MLV"}


@pytest.mark.parametrize(
    "name",
    ["concat:a|b.avi", "-", "pipe:0", "x" * 300 + ".avi", "a\0b.avi", "http://127.0.0.1/a.avi"],
)
def test_a_name_is_never_a_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        probe(Path(name), InputOptions())
