"""The same work in fresh processes must give the same bytes, whatever lies in fresh memory and whatever else the machine does.

python benchmarks/repeat.py memory [PART...]        every encoder, sound encoder, decoder, filter and engine under MALLOC_PERTURB_ 0, 85, 170
python benchmarks/repeat.py load [--runs 20]        whole runs of x264, x265 and SVT-AV1 at 704x576, busy processes beside them

Memory that nobody wrote holds what the last user left there: with MALLOC_PERTURB_ glibc fills it with a byte, so that a library
that reads it gives itself away in one run. Parts: encoders, sound, decoders, damaged, filters, engines, pipelines.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

import av
import imageio_ffmpeg
import numpy as np
import torch

from restore.color import ColorInfo, Matrix, Primaries, Siting, Transfer
from restore.io import encoder
from restore.io.check import video_encoders
from restore.io.decode import decode
from restore.io.formats import encoded_format
from restore.io.output import OutputOptions
from restore.io.pixels import from_planes
from restore.io.probe import InputOptions, probe
from restore.io.sound import SoundCount, sound_of
from restore.io.sound_encode import SoundTarget, encode_samples, open_sound
from restore.video import Chroma, VideoFormat

PERTURB = (0, 85, 170)
"""Bytes of fresh memory (their complements); 0 leaves it alone."""
PAL = ColorInfo(Matrix.BT470BG, Primaries.BT470BG, Transfer.SMPTE170M, False, Siting.LEFT)
Hashes = Iterator[tuple[str, str]]


# What is done in a process of its own --------------------------------------------------------------


def film(fmt: VideoFormat, count: int) -> list[list[np.ndarray]]:
    """Codes of each plane of `count` frames: a texture that moves, noise on it, a cut in the middle."""
    kind = np.uint8 if fmt.depth == 8 else np.uint16
    top = (1 << fmt.depth) - 1
    noise = np.random.default_rng(1)
    frames = []
    for n in range(count):
        planes = []
        for rows, columns in fmt.plane_shapes():
            y, x = np.mgrid[:rows, :columns]
            wave = np.sin((x + 2 * n) / 5) * np.cos((y - n) / 7 + (3 if n > count // 2 else 0))
            value = 0.5 + 0.3 * wave + noise.normal(0, 0.02, (rows, columns))
            planes.append(np.clip(np.rint(value * top), 0, top).astype(kind))
        frames.append(planes)
    return frames


def encoded(options: OutputOptions, fmt: VideoFormat, count: int) -> str:
    """Hash of an encoder's stream, header included."""
    target = encoded_format(options, fmt)
    context = encoder.open_encoder(options, target)
    name = context.pix_fmt or ""
    digest = hashlib.sha256(context.extradata or b"")
    numbered = options.codec in encoder.NUMBERED
    for n, planes in enumerate(film(target, count)):
        frame = from_planes(planes, target, name)
        frame.pts = n if numbered else round(n / 25 / target.time_base)
        frame.time_base = Fraction(1, 25) if numbered else target.time_base
        for packet in context.encode(frame):
            digest.update(bytes(packet))
    for packet in context.encode(None):
        digest.update(bytes(packet))
    return digest.hexdigest()


def encoders(codecs: Iterable[str] | None = None) -> Hashes:
    """Every encoder there is, those of the product in more than one way."""
    small = VideoFormat(128, 96, Chroma.C420, 8, Fraction(1, 1000), PAL)
    ways: list[tuple[str, dict[str, str], VideoFormat, int]] = [
        (codec, {}, small, 14)
        for codec in sorted(codecs or video_encoders())
        if not codec.endswith("_nvenc")
    ]
    if codecs is None:
        large = replace(small, width=352, height=288)
        ways += [(codec, {}, large, 30) for codec in encoder.KNOWN if "nvenc" not in codec]
        deep = replace(small, depth=10)
        ways += [(codec, {}, deep, 14) for codec in ("libx264", "libx265", "libsvtav1", "ffv1")]
        ways += [("libx264", {"tune": tune}, large, 30) for tune in ("grain", "film", "animation")]
        ways += [("libx264", {"b": "300k"}, large, 30), ("libx265", {"b": "300k"}, large, 30)]
    for codec, given, fmt, count in ways:
        options = OutputOptions(codec=codec, options=given, preset="medium")
        text = "".join(f" {k}={v}" for k, v in given.items())
        name = f"{codec} {fmt.width}x{fmt.height} {fmt.depth} bits{text}"
        try:
            yield name, encoded(options, fmt, count)
        except Exception as error:
            yield name, f"refused: {type(error).__name__}"


def x265_threads() -> Hashes:
    """Rows in threads (WPP), more of them than there are cores."""
    fmt = VideoFormat(352, 288, Chroma.C420, 8, Fraction(1, 1000), PAL)
    encoder.THREADS["libx265"] = 8
    yield "libx265 8 threads", encoded(OutputOptions(codec="libx265"), fmt, 20)


def sound() -> Hashes:
    """Every encoder that a sound stream may be converted with."""
    rate = 48_000
    time_ = np.arange(rate) / rate
    wave = 0.3 * np.sin(2 * np.pi * 440 * time_) + 0.1 * np.random.default_rng(2).normal(0, 1, rate)
    left = np.clip(np.rint(wave * (1 << 23)), -(1 << 23), (1 << 23) - 1).astype(np.int32) << 8
    samples = np.stack([left, np.roll(left, 100)], axis=1)
    for name, bits in (
        *(("flac", 16), ("flac", 24), ("alac", 16), ("alac", 24)),
        *(("pcm_s16le", 16), ("pcm_s24le", 24), ("aac", 0), ("libopus", 0)),
    ):
        target = SoundTarget(name, rate, "stereo", bits, 0 if bits else 320_000)
        context = av.CodecContext.create(name, "w")
        open_sound(context, target)
        digest = hashlib.sha256(context.extradata or b"")
        for packet in encode_samples(context, [(Fraction(0), samples)], Fraction(0), rate):
            digest.update(bytes(packet))
        yield f"{name} {bits} bits", digest.hexdigest()


def pictures_and_sound(path: Path, options: InputOptions) -> str:
    """Hash of all that is read of a file: planes, times, damage, samples."""
    digest = hashlib.sha256()
    try:
        source = probe(path, options)
        for batch in decode(source, batch=4):
            digest.update(repr([(f.pts, f.duration, f.damaged) for f in batch.frames]).encode())
            for plane in batch.planes:
                digest.update(plane.contiguous().numpy().tobytes())
        for stream in source.audio:
            for _, samples in sound_of(source, stream.index, SoundCount()):
                digest.update(np.ascontiguousarray(samples).tobytes())
    except Exception as error:
        return f"refused: {type(error).__name__}: {error}".replace(str(path.parent), "")
    return digest.hexdigest()


def decoders(folder: Path) -> Hashes:
    """Every clip of the folder, whole."""
    for path in sorted(folder.iterdir()):
        yield path.name, pictures_and_sound(path, InputOptions())


def damaged(folder: Path, seeds: int = 3) -> Hashes:
    """The same with flipped bytes and a piece lost, where decoders fall back on what they have."""
    with tempfile.TemporaryDirectory() as work:
        for path in sorted(folder.iterdir()):
            whole = path.read_bytes()
            for seed in range(seeds):
                chance = random.Random(f"{path.name} {seed}")
                data = bytearray(whole)
                for _ in range(2 + 4 * seed):
                    data[chance.randrange(len(data) // 8, len(data))] ^= 1 << chance.randrange(8)
                if seed:
                    at = chance.randrange(len(data) // 4, len(data))
                    del data[at : at + 300]
                spoilt = Path(work) / f"{seed}-{path.name}"
                spoilt.write_bytes(data)
                yield spoilt.name, pictures_and_sound(spoilt, InputOptions())
                spoilt.unlink()


def filters(folder: Path) -> Hashes:
    """Every way to read fields, turn, crop and square."""
    ways: dict[str, dict[str, object]] = {
        "bwdif": {"deinterlace": "bwdif", "field_order": "tff"},
        "bwdif bff": {"deinterlace": "bwdif", "field_order": "bff"},
        "bwdif fields": {"deinterlace": "bwdif", "deinterlace_rate": "field"},
        "w3fdif": {"deinterlace": "w3fdif", "field_order": "tff"},
        "w3fdif fields": {"deinterlace": "w3fdif", "deinterlace_rate": "field"},
        "telecine": {"telecine": "on"},
        "auto": {},
        "crop": {"crop": "80:60:10:8"},
        "auto crop": {"crop": "auto"},
        "no repair": {"conceal": "off"},
    }
    for path in sorted(folder.iterdir()):
        if path.suffix in (".vob", ".mkv", ".rm", ".dv", ".mov"):
            for name, given in ways.items():
                read = InputOptions.model_validate(given)
                yield f"{name} {path.name}", pictures_and_sound(path, read)


def engines(models: Iterable[str] | None = None) -> Hashes:
    """Every network that is shipped, in everything that can run it here."""
    from restore.nets.candidates import candidates
    from restore.nets.files import as_network, load_model, model_names

    torch.set_num_threads(1)
    device, size = torch.device("cpu"), (48, 64)
    noise = torch.rand(2, 16, *size, generator=torch.Generator().manual_seed(3))
    for model in sorted(models or model_names()):
        network = as_network(*load_model(model))
        picture = noise[:, : network.planes].contiguous()
        if network.sequential:
            picture = picture[:1]
        for back_end in candidates(network, device):
            name = f"{model} {back_end.name}"
            if back_end.name.startswith("torch-compile"):
                continue
            try:
                with torch.inference_mode():
                    made = back_end.build(network, device, 2, size)(picture)
                yield name, hashlib.sha256(made.float().contiguous().numpy().tobytes()).hexdigest()
            except RuntimeError as error:
                yield name, f"refused: {error}"


def pipelines(folder: Path) -> Hashes:
    """Every pipeline that is shipped, from file to file."""
    from restore.pipeline import read_pipeline
    from restore.resources import pipelines_dir
    from restore.run import local
    from restore.run.job import Job, Listener, prepare

    inputs = [folder / "mpeg1.mpg", folder / "rv20.rm"]
    with tempfile.TemporaryDirectory() as work:
        for path in sorted(pipelines_dir().glob("*.toml")):
            for clip in inputs:
                output = Path(work) / f"{path.stem}-{clip.stem}.mkv"
                local.run(prepare(Job(read_pipeline(path), (clip,), output)), Listener())
                yield output.name, hashlib.sha256(output.read_bytes()).hexdigest()


def parts(folder: Path) -> dict[str, Callable[[], Hashes]]:
    """What can be asked for by name; `core` is short enough for a test suite."""

    def core() -> Hashes:
        codecs = {c for c in encoder.KNOWN if "nvenc" not in c}
        yield from encoders(codecs | {"libx264rgb", "mpeg2video", "mpeg4", "libvpx"})
        # Smaller pictures do not reach the code of x264 that once read what nobody wrote.
        large = VideoFormat(352, 288, Chroma.C420, 8, Fraction(1, 1000), PAL)
        yield "libx264 352x288", encoded(OutputOptions(), large, 30)
        yield from sound()
        yield from engines(["film_x2_fast"])
        if folder.is_dir():
            yield from decoders(folder)
            yield from filters(folder)
        yield from x265_threads()

    return {
        "encoders": encoders,
        "x265": x265_threads,
        "sound": sound,
        "decoders": lambda: decoders(folder),
        "damaged": lambda: damaged(folder),
        "filters": lambda: filters(folder),
        "engines": engines,
        "pipelines": lambda: pipelines(folder),
        "core": core,
    }


# What compares the processes -----------------------------------------------------------------------

_SOUNDS = {
    "sound-eac3.mkv": ("-c:a", "eac3"),
    "sound-dts.mkv": ("-c:a", "dca", "-strict", "-2", "-ar", "48000"),
    "sound-alac.mov": ("-c:a", "alac"),
    "sound-wma1.wmv": ("-c:a", "wmav1"),
    "sound-adpcm.avi": ("-c:a", "adpcm_ima_wav"),
    "sound-msadpcm.avi": ("-c:a", "adpcm_ms"),
    "sound-alaw.mov": ("-c:a", "pcm_alaw"),
    "sound-opus.mkv": ("-c:a", "libopus"),
    "sound-tta.mkv": ("-c:a", "tta"),
    "sound-wavpack.mkv": ("-c:a", "wavpack"),
    "sound-nelly.flv": ("-c:a", "nellymoser", "-ar", "11025", "-ac", "1"),
    "sound-g726.mkv": ("-c:a", "g726", "-ar", "8000", "-ac", "1"),
    "sound-truehd.mkv": ("-c:a", "truehd", "-strict", "-2", "-ar", "48000"),
}
_VIDEOS = {
    "mpeg1.mpg": ("-c:v", "mpeg1video", "-c:a", "mp2"),
    "mpeg2.vob": ("-c:v", "mpeg2video", "-flags", "+ildct+ilme", "-c:a", "ac3"),
    "mpeg4.avi": ("-c:v", "mpeg4", "-bf", "2", "-c:a", "libmp3lame"),
    "msmpeg4.avi": ("-c:v", "msmpeg4"),
    "mjpeg.avi": ("-c:v", "mjpeg"),
    "huffyuv.avi": ("-c:v", "huffyuv"),
    "cinepak.avi": ("-c:v", "cinepak"),
    "rv10.rm": ("-c:v", "rv10", "-c:a", "ac3"),
    "rv20.rm": ("-c:v", "rv20", "-c:a", "real_144", "-ar", "8000", "-ac", "1"),
    "h264.mkv": ("-c:v", "libx264", "-c:a", "aac"),
    "ffv1.mkv": ("-c:v", "ffv1", "-level", "3", "-c:a", "flac"),
    "hevc.mp4": ("-c:v", "libx265", "-x265-params", "log-level=none", "-c:a", "aac"),
    "prores.mov": ("-c:v", "prores"),
    "svq1.mov": ("-c:v", "svq1"),
    "qtrle.mov": ("-c:v", "qtrle"),
    "flv1.flv": ("-c:v", "flv", "-c:a", "libmp3lame"),
    "wmv2.wmv": ("-c:v", "wmv2", "-c:a", "wmav2"),
    "theora.ogv": ("-c:v", "libtheora", "-c:a", "libvorbis"),
    "vp8.webm": ("-c:v", "libvpx", "-c:a", "libopus"),
    "vp9.webm": ("-c:v", "libvpx-vp9", "-c:a", "libopus"),
    "h263.3gp": ("-c:v", "h263", "-s", "128x96", "-c:a", "aac"),
    "dv.dv": ("-c:v", "dvvideo", "-s", "720x576", "-pix_fmt", "yuv420p", "-ar", "48000", "-ac", "2"),
    "palette.gif": ("-an",),
    "av1.mkv": ("-c:v", "libsvtav1", "-preset", "12"),
    "asv1.avi": ("-c:v", "asv1"),
    "dnxhd.mov": ("-c:v", "dnxhd", "-profile:v", "dnxhr_sq", "-s", "256x144"),
    "jpeg2000.mkv": ("-c:v", "jpeg2000"),
    "magicyuv.avi": ("-c:v", "magicyuv"),
    "png.mov": ("-c:v", "png"),
    "rawvideo.avi": ("-c:v", "rawvideo"),
    "snow.avi": ("-c:v", "snow", "-strict", "-2"),
    "utvideo.avi": ("-c:v", "utvideo"),
    "v210.mov": ("-c:v", "v210", "-pix_fmt", "yuv422p10le"),
    "vc2.mkv": ("-c:v", "vc2", "-strict", "-1"),
    "wmv1.wmv": ("-c:v", "wmv1", "-c:a", "wmav2"),
    "zmbv.avi": ("-c:v", "zmbv"),
    "flashsv.flv": ("-c:v", "flashsv", "-an"),
    "h264_interlaced.mkv": ("-c:v", "libx264", "-flags", "+ildct+ilme", "-x264-params", "tff=1"),
    "h264_cavlc10.mkv": ("-c:v", "libx264", "-pix_fmt", "yuv420p10le", "-coder", "0"),
    "hevc10.mkv": ("-c:v", "libx265", "-x265-params", "log-level=none", "-pix_fmt", "yuv420p10le"),
    "mpeg4_qpel.avi": ("-c:v", "mpeg4", "-flags", "+qpel+mv4", "-bf", "2", "-c:a", "libmp3lame"),
    "h263p.avi": ("-c:v", "h263p"),
    "msmpeg4v2.avi": ("-c:v", "msmpeg4v2"),
    "roq.roq": ("-c:v", "roqvideo", "-r", "30", "-s", "128x128", "-an"),
}  # fmt: skip


def make_clips(folder: Path, names: Iterable[str] | None = None) -> None:
    """One clip of every kind that FFmpeg can make, in `folder`; what it cannot make here is said and left out."""
    from fuzz_inputs import GENERATED

    folder.mkdir(parents=True, exist_ok=True)
    kinds = {f"seed-{name}": given for name, given in GENERATED.items()} | _VIDEOS
    kinds = kinds | {name: ("-c:v", "mpeg4", *given) for name, given in _SOUNDS.items()}
    for name in sorted(names or kinds):
        path = folder / name
        if path.exists():
            continue
        sources = (
            *("-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25:duration=0.6"),
            *("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:duration=0.6"),
        )
        command = [
            *(imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y", *sources),
            *("-g", "6", "-threads", "1", "-fflags", "+bitexact", *kinds[name], str(path)),
        ]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            path.unlink(missing_ok=True)
            print(f"no {name}: FFmpeg cannot make it here")


def hashes(part: str, folder: Path, perturb: int) -> dict[str, str]:
    """By name, of one part, made in a fresh process whose fresh memory holds `perturb`."""
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, __file__, "--hashes", part, "--clips", str(folder)]
        environment = {
            **os.environ,
            "MALLOC_PERTURB_": str(perturb),
            "XDG_CACHE_HOME": cache,
            "PYTHONPATH": str(ROOT),
        }
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{part}, MALLOC_PERTURB_={perturb}: {done.stderr[-2000:]}")
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


def differing(part: str, folder: Path) -> tuple[dict[str, str], list[str]]:
    """The hashes of the first process, and the names of those that another one made otherwise."""
    first, *others = (hashes(part, folder, perturb) for perturb in PERTURB)
    names = {name for other in others for name in first.keys() | other.keys()}
    return first, sorted(n for n in names if any(o.get(n) != first.get(n) for o in others))


def memory(wanted: list[str], folder: Path) -> int:
    """Print what was compared; the number of differences."""
    make_clips(folder)
    failures = 0
    every = [name for name in parts(folder) if name != "core"]
    for part in wanted or every:
        began = time.monotonic()
        first, wrong = differing(part, folder)
        refused = sum(value.startswith("refused") for value in first.values())
        failures += len(wrong)
        print(
            f"{part}: {len(first)} things, {refused} refused, {len(wrong)} differ, "
            f"{time.monotonic() - began:.0f} s",
            *wrong,
            sep="\n  ",
            flush=True,
        )
    return failures


# Whole runs under load -----------------------------------------------------------------------------

_BUSY = "import time\nwhile True:\n sum(range(30000)); time.sleep({pause})"


def load(options: argparse.Namespace) -> int:
    """`runs` whole runs of each codec with busy processes beside them, the number of which changes; the number of codecs
    that gave more than one file."""
    failures = 0
    width, height = (int(n) // 2 for n in options.size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.avi"
        source = f"testsrc2=s={width}x{height}:r=25:d={options.frames / 25}"
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", source]
        subprocess.run([*command, "-c:v", "mpeg4", "-q:v", "12", str(clip)], check=True)
        for codec in options.codecs.split(","):
            found: dict[str, int] = {}
            began = time.monotonic()
            chance = random.Random(codec)
            for _ in range(options.runs):
                code = _BUSY.format(pause=chance.choice((0, 0.001, 0.01)))
                busy = [
                    subprocess.Popen([sys.executable, "-c", code])
                    for _ in range(chance.randrange(0, 4))
                ]
                output = Path(folder) / f"{codec}.mkv"
                run = [
                    *(sys.executable, "-m", "restore", "run", options.pipeline, str(clip)),
                    *(str(output), "--overwrite", f"--set=output.codec={codec}"),
                    f"--set=output.preset={options.preset}",
                    f"--threads={chance.choice((1, 2, 4))}",
                ]
                environment = {**os.environ, "PYTHONPATH": str(ROOT)}
                try:
                    subprocess.run(run, check=True, capture_output=True, env=environment)
                finally:
                    for process in busy:
                        process.kill()
                        process.wait()
                digest = hashlib.sha256(output.read_bytes()).hexdigest()
                found[digest] = found.get(digest, 0) + 1
            failures += len(found) != 1
            seconds = time.monotonic() - began
            print(
                f"{codec} {options.size}, {options.runs} runs: {len(found)} file(s), {seconds:.0f} s, "
                f"{', '.join(f'{k[:12]} {v}x' for k, v in found.items())}",
                flush=True,
            )
    return failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=["memory", "load"])
    parser.add_argument("part", nargs="*", help="of memory; all without")
    parser.add_argument("--clips", type=Path, default=Path(tempfile.gettempdir()) / "repeat-clips")
    parser.add_argument("--hashes", metavar="PART", help="print one part's hashes as JSON")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--size", default="704x576", help="of the output")
    parser.add_argument("--codecs", default="libx264,libx265,libsvtav1")
    parser.add_argument("--preset", default="medium")
    parser.add_argument("--pipeline", default="lanczos_x2")
    options = parser.parse_args()
    if options.hashes:
        print(json.dumps(dict(parts(options.clips)[options.hashes]())))
        return
    failed = memory(options.part, options.clips) if options.what == "memory" else load(options)
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
