"""framelift on the layers of one of restore's networks, with the same encoder: a program for the same job, with its own
decoding, network runner and pipe.

python3 -m venv PEER; PEER/bin/pip install framelift-video torch opencv-python-headless imageio-ffmpeg openvino
PEER/bin/python benchmarks/peer_framelift.py INPUT OUTPUT --channels 32 --blocks 8 [--backend openvino]

Runs in an environment of its own; imports nothing of restore. framelift knows Real-ESRGAN's networks alone, which it fetches:
one of their compact kind, with as many layers as asked for and without training, is put beside them. It takes R, G, B
and has PReLU, as theirs have. The result alone is kept (no blend with a resampled picture), in one piece (no tiles).
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path

import imageio_ffmpeg
import torch

NAME = "untrained"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path, help="an MP4, the only container that it writes")
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--blocks", type=int, default=8)
    parser.add_argument("--backend", default="openvino", choices=("torch", "openvino"))
    parser.add_argument("--preset", default="veryfast")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # It calls programs of this name.
        Path(folder, "ffmpeg").symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
        os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
        enhance(options, Path(folder))


def enhance(options: argparse.Namespace, folder: Path) -> None:
    from framelift import archs, enhance_video, models, upscaler

    def network(_: models.ModelSpec) -> torch.nn.Module:
        return archs.SRVGGNetCompact(
            num_feat=options.channels, num_conv=options.blocks, upscale=2, act_type="prelu"
        )

    upscaler.build_network = network
    spec = models.ModelSpec(NAME, "untrained.pth", "", "srvgg", 2, options.blocks, "")
    models.MODELS[NAME] = spec
    torch.manual_seed(0)
    net = network(spec)
    # Small at the end, so that the picture stays a picture and the encoder has what it would have.
    torch.nn.init.normal_(net.body[-1].weight, std=1e-3)
    torch.save({"params": net.state_dict()}, folder / spec.filename)
    made = folder / "made.mp4"
    enhance_video(
        str(options.input),
        str(made),
        model=NAME,
        scale=2,
        ai_strength=1.0,
        tile=0,
        backend=options.backend,
        device="cpu",
        torch_threads=options.threads,
        audio=False,
        encoder="cpu",
        x264_preset=options.preset,
        crf=18,
        weights_dir=str(folder),
    )
    shutil.move(made, options.output)


if __name__ == "__main__":
    main()
