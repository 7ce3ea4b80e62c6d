"""The same network in VapourSynth by OpenVINO (vs-mlrt), with the same encoder: the quickest of the others.

python3.12 -m venv PEER; PEER/bin/pip install vapoursynth vapoursynth-mlrt-ov vapoursynth-bestsource onnx numpy safetensors
PEER/bin/python benchmarks/peer_vapoursynth.py INPUT OUTPUT --model models/film_x2_fast.safetensors --ffmpeg FFMPEG

Runs in an environment of its own, since VapourSynth wants a newer Python; imports nothing of restore. The network is
written as ONNX from its weights, with the kernels of luma alone; luma is enlarged by Lanczos and gets the network's
residual, chroma is enlarged by Lanczos. Frames go by a pipe to FFmpeg. Prints frames and seconds without the start.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import vapoursynth as vs
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file


def write_onnx(weights: Path, target: Path, mean: float) -> None:
    """Convolutions of 3x3 with ReLU between them, then depth to space: what restore.nets.plain describes."""
    tensors = load_file(weights)
    names = [key.removesuffix(".weight") for key in tensors if tensors[key].ndim == 4]
    order = ["head", *sorted((n for n in names if n not in ("head", "tail")), key=_number), "tail"]
    nodes, constants, last = [], [], "centred"

    def constant(name: str, value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name))
        return name

    nodes.append(helper.make_node("Sub", ["luma", constant("mean", np.float32(mean))], [last]))
    for name in order:
        kernel = tensors[f"{name}.weight"]
        given = [last, constant(f"{name}.w", kernel[:, :1] if name == "head" else kernel)]
        if f"{name}.bias" in tensors:
            given.append(constant(f"{name}.b", tensors[f"{name}.bias"]))
        nodes.append(helper.make_node("Conv", given, [f"{name}.out"], pads=[1, 1, 1, 1]))
        last = f"{name}.out"
        if name != "tail":
            nodes.append(helper.make_node("Relu", [last], [f"{name}.relu"]))
            last = f"{name}.relu"
    nodes.append(helper.make_node("DepthToSpace", [last], ["residual"], blocksize=2, mode="CRD"))
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, f"{name}_h", f"{name}_w"])
        for name in ("luma", "residual")
    ]
    graph = helper.make_graph(nodes, "plain", ends[:1], ends[1:], constants)
    opsets = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(target))


def _number(name: str) -> int:
    return int("".join(c for c in name if c.isdigit()) or 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--mean", type=float, default=0.45, help="restore.nets.plain.MEAN")
    parser.add_argument("--ffmpeg", required=True)
    parser.add_argument("--preset", default="veryfast")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    core = vs.core
    core.num_threads = options.threads
    with tempfile.TemporaryDirectory() as folder:
        network = Path(folder) / "net.onnx"
        write_onnx(options.model, network, options.mean)
        clip = core.bs.VideoSource(str(options.input), showprogress=False)
        luma = core.resize.Point(core.std.ShufflePlanes(clip, 0, vs.GRAY), format=vs.GRAYS)
        big = core.resize.Lanczos(luma, 2 * clip.width, 2 * clip.height, filter_param_a=3)
        found = core.ov.Model(
            luma, network_path=str(network), device="CPU", num_streams=options.threads
        )
        made = core.std.Expr([big, found], "x y +")
        made = core.resize.Point(made, format=vs.GRAY8, dither_type="ordered", range=0, range_in=1)
        wide = core.resize.Lanczos(clip, 2 * clip.width, 2 * clip.height, filter_param_a=3)
        done = core.std.ShufflePlanes([made, wide, wide], [0, 1, 2], vs.YUV)
        rate = f"{clip.fps_num}/{clip.fps_den}"
        writing = subprocess.Popen(
            [
                options.ffmpeg, "-v", "error", "-nostdin", "-y", "-f", "yuv4mpegpipe", "-i", "-", "-c:v", "libx264",
                "-preset", options.preset, "-crf", "18", "-r", rate, str(options.output),
            ],
            stdin=subprocess.PIPE,
        )  # fmt: skip
        assert writing.stdin is not None
        began: list[float] = []

        def told(now: int, all_of_them: int) -> None:
            began.append(time.perf_counter())

        done.output(writing.stdin, y4m=True, progress_update=told)
        writing.stdin.close()
        code = writing.wait()
        taken = time.perf_counter() - began[0]
    peak = int(Path(f"/proc/{os.getpid()}/status").read_text().split("VmHWM:")[1].split()[0]) >> 10
    print(
        f"frames {len(done)} seconds {taken:.2f} frames/s {len(done) / taken:.2f} peak MiB {peak}"
    )
    raise SystemExit(code)


if __name__ == "__main__":
    main()
