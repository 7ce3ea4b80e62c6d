"""What most scripts around super-resolution networks do, to compare with: frames from FFmpeg by a pipe as R, G, B, one
at a time through the network in float32 by PyTorch as it comes, back by a pipe into x264.

python benchmarks/peer_loop.py INPUT OUTPUT [--channels 32] [--blocks 8] [--preset veryfast] [--threads 2]

The network has the layers of the product's own, for three planes in place of one, without training: its speed counts.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from restore.nets.plain import PlainSR


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--size", required=True, help="of the input, such as 352x288")
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--blocks", type=int, default=8)
    parser.add_argument("--preset", default="veryfast")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    width, height = map(int, options.size.split("x"))
    net = PlainSR(options.channels, options.blocks, 2, in_planes=3, colours=3).eval()
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y"]
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24"]
    reading = subprocess.Popen(
        [*ffmpeg, "-i", str(options.input), *raw, "-"], stdout=subprocess.PIPE
    )
    writing = subprocess.Popen(
        [
            *ffmpeg, *raw, "-s", f"{2 * width}x{2 * height}", "-r", "25", "-i", "-", "-c:v", "libx264",
            "-pix_fmt", "yuv420p", "-preset", options.preset, "-crf", "18", str(options.output),
        ],
        stdin=subprocess.PIPE,
    )  # fmt: skip
    assert reading.stdout is not None
    assert writing.stdin is not None
    count = 0
    with torch.no_grad():
        while data := reading.stdout.read(3 * width * height):
            frame = np.frombuffer(data, np.uint8).reshape(height, width, 3).astype(np.float32) / 255
            given = torch.from_numpy(frame).permute(2, 0, 1)[None]
            base = torch.nn.functional.interpolate(given, scale_factor=2, mode="bicubic")
            out = (base + net(given)).clamp(0, 1)
            codes = (out[0].permute(1, 2, 0) * 255).round().byte().numpy()
            writing.stdin.write(codes.tobytes())
            count += 1
    writing.stdin.close()
    print(f"frames {count}")
    sys.exit(reading.wait() or writing.wait())


if __name__ == "__main__":
    main()
