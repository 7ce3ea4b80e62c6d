"""The same network in ncnn on the CPU, as realesrgan-ncnn and its relatives run theirs, with the same encoder.

python3 -m venv PEER; PEER/bin/pip install ncnn numpy opencv-python-headless imageio-ffmpeg safetensors
PEER/bin/python benchmarks/peer_ncnn.py INPUT OUTPUT --size 352x288 --model models/film_x2_fast.safetensors [--precision int8]

Runs in an environment of its own; imports nothing of restore. The network is written in ncnn's own format from its
weights, with the kernels of luma alone: luma is enlarged by Lanczos and gets the network's residual, chroma is enlarged
by Lanczos. int8 is of the body: weights per output channel, activations per layer by what the first frame shows. Frames come and go by pipes
to FFmpeg. Prints frames and seconds without the start, and processor time of this process alone.
"""

from __future__ import annotations

import argparse
import resource
import struct
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import imageio_ffmpeg
import ncnn
import numpy as np
from safetensors.numpy import load_file

INT8 = 0x000D4B38
"""ncnn's mark before weights of one byte; 0 is that of float32."""


class Layers:
    """A plain network's kernels and offsets, in order: what restore.nets.plain describes."""

    def __init__(self, weights: Path) -> None:
        tensors = load_file(weights)
        body = sorted({int(k.split(".")[1]) for k in tensors if k.startswith("body.")})
        names = ["head", *(f"body.{n}" for n in body), "tail"]
        self.kernels = [np.float32(tensors[f"{name}.weight"]) for name in names]
        self.kernels[0] = self.kernels[0][:, :1]
        self.biases = [
            np.float32(tensors.get(f"{name}.bias", np.zeros(len(kernel))))
            for name, kernel in zip(names, self.kernels, strict=True)
        ]

    def write(self, folder: Path, tops: list[float]) -> tuple[str, str]:
        """The two files of ncnn's format. `tops`: the largest input of each layer of the body if that is to run in
        whole numbers, else nothing."""
        count = len(self.kernels)
        lines = ["7767517", f"{count + 2} {count + 2}", "Input luma 0 1 b0"]
        data = bytearray()
        for n, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            whole = bool(tops) and 0 < n < count - 1
            relu = n < count - 1
            lines.append(
                f"Convolution conv{n} 1 1 b{n} b{n + 1} 0={len(kernel)} 1=3 4=1 5=1 6={kernel.size} "
                f"8={int(whole)} 9={int(relu)}"
            )
            if whole:
                scale = 127 / np.abs(kernel).max((1, 2, 3))
                codes = np.round(kernel * scale[:, None, None, None]).astype(np.int8).tobytes()
                data += struct.pack("<I", INT8) + codes + bytes(-len(codes) % 4)
                data += bias.tobytes() + np.float32(scale).tobytes()
                data += struct.pack("<f", 127 / tops[n])
            else:
                data += struct.pack("<I", 0) + kernel.tobytes() + bias.tobytes()
        lines.append(f"PixelShuffle shuffle 1 1 b{count} residual 0=2")
        param, bin_ = folder / "net.param", folder / "net.bin"
        param.write_text("\n".join(lines) + "\n")
        bin_.write_bytes(bytes(data))
        return str(param), str(bin_)


def load(files: tuple[str, str], precision: str, threads: int) -> Any:
    net = ncnn.Net()
    net.opt.use_vulkan_compute = False
    net.opt.num_threads = threads
    for name in ("fp16_packed", "fp16_storage", "fp16_arithmetic"):
        setattr(net.opt, f"use_{name}", precision == "fp16")
    net.opt.use_bf16_storage = precision == "bf16"
    if net.load_param(files[0]) or net.load_model(files[1]):
        raise SystemExit(f"ncnn does not load {files}")
    return net


def run(net: Any, luma: np.ndarray, wanted: str = "residual") -> np.ndarray:
    """Luma (h, w) about its mean -> what comes out under that name, (planes, H, W)."""
    extractor = net.create_extractor()
    extractor.input("b0", ncnn.Mat(luma[None]))
    code, out = extractor.extract(wanted)
    if code:
        raise SystemExit(f"ncnn: error {code}")
    return np.array(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--size", required=True, help="of the input, such as 352x288")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--mean", type=float, default=0.45, help="restore.nets.plain.MEAN")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "fp16", "bf16", "int8"))
    parser.add_argument("--preset", default="veryfast")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    cv2.setNumThreads(1)
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y"]
    raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p"]
    reading = subprocess.Popen([*ffmpeg, "-i", options.input, *raw, "-"], stdout=subprocess.PIPE)
    writing = subprocess.Popen(
        [
            *ffmpeg, *raw, "-s", f"{2 * width}x{2 * height}", "-r", "25", "-i", "-", "-c:v", "libx264",
            "-preset", options.preset, "-crf", "18", options.output,
        ],
        stdin=subprocess.PIPE,
    )  # fmt: skip
    assert reading.stdout is not None
    assert writing.stdin is not None
    layers, net, count, began, spent = Layers(options.model), None, 0, 0.0, 0.0
    samples, (half_h, half_w) = width * height, (height // 2, width // 2)
    with tempfile.TemporaryDirectory() as folder:
        while data := reading.stdout.read(samples * 3 // 2):
            codes = np.frombuffer(data, np.uint8)
            luma = (codes[:samples].reshape(height, width).astype(np.float32) - 16) / 219
            if net is None:
                net = load(layers.write(Path(folder), []), options.precision, options.threads)
                if options.precision == "int8":
                    tops = [
                        float(run(net, luma - options.mean, f"b{n}").max())
                        for n in range(len(layers.kernels))
                    ]
                    net = load(layers.write(Path(folder), tops), "int8", options.threads)
                run(net, luma - options.mean)  # plans its layers
                began, spent = time.perf_counter(), own_seconds()
            big = cv2.resize(luma, (2 * width, 2 * height), interpolation=cv2.INTER_LANCZOS4)
            big += run(net, luma - options.mean)[0]
            made = np.clip(np.rint(big * 219 + 16), 0, 255).astype(np.uint8)
            chroma = [
                cv2.resize(c, (width, height), interpolation=cv2.INTER_LANCZOS4)
                for c in codes[samples:].reshape(2, half_h, half_w)
            ]
            writing.stdin.write(made.tobytes() + b"".join(c.tobytes() for c in chroma))
            count += 1
        used = own_seconds() - spent
        writing.stdin.close()
        code = reading.wait() or writing.wait()
    taken = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(
        f"frames {count} seconds {taken:.2f} frames/s {count / taken:.2f} own CPU ms {1000 * used / count:.1f} "
        f"peak MiB {peak}"
    )
    raise SystemExit(code)


def own_seconds() -> float:
    """Of processor time, all threads of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
