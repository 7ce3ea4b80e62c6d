"""Networks alone: every back end of this machine, against the arithmetic it can do, measured in the same run.

python benchmarks/backends.py [--device cpu|cuda] [--sizes 352x288,720x576,1920x1080] [--seconds 3] [--json FILE]
    [--only PREFIX,...]

Imports nothing of restore but its networks, so that it runs where no video library is installed. The ceiling of a
precision is the fastest large matrix product by PyTorch; that of int16, counted as Winograd's F(4x4, 3x3) needs them, is what the
multipliers do where nothing is read or written (ceiling_int16.c); `share` is the network's arithmetic over that, or over float32's
where there is none. Times are medians; each size and back end runs for `--seconds`, three times at least (once above 10 s).
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from restore.nets.architectures import build, enlarge
from restore.nets.candidates import BackEnd, candidates, processor
from restore.nets.engine import DTYPES, Network, Precision, native_bf16
from restore.nets.files import as_network, load_model, model_names
from restore.nets.winograd import why_not

SIZES = "352x288,720x576,1920x1080"


def median_seconds(work: Callable[[], Any], device: torch.device, seconds: float) -> float:
    """Of one call, its device waited for; the first is not counted."""

    def once() -> float:
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - began

    first = once()
    if first > 10:
        return first
    taken: list[float] = []
    while len(taken) < 3 or (sum(taken) < seconds and len(taken) < 1000):
        taken.append(once())
    return statistics.median(taken)


ROUNDS = 2_000_000


def int16_ceiling(threads: int) -> float | None:
    """GFLOP/s of direct convolutions: a product of 16 pairs of numbers does 32 operations, and by Winograd's way stands for
    four times as many. None without AVX2 or a C compiler."""
    compiler = shutil.which("cc")
    if why_not() or compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "ceiling.so"
        source = Path(__file__).with_name("ceiling_int16.c")
        subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
        run = ctypes.CDLL(str(library)).products

    def all_threads() -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(run, [ctypes.c_long(ROUNDS)] * threads))

    taken = median_seconds(all_threads, torch.device("cpu"), 1)
    return 12 * ROUNDS * threads * 32 * 4 / taken / 1e9


def ceilings(device: torch.device, threads: int) -> dict[str, float]:
    """GFLOP/s of a matrix product by precision, and GB/s of a copy, bytes read and written counted."""
    side = 8192 if device.type == "cuda" else 1536
    torch.set_num_threads(threads)
    kinds: list[Precision] = ["fp32"]
    if device.type == "cuda":
        kinds += ["fp16", "bf16"]
    elif native_bf16():
        kinds += ["bf16"]
    found = {}
    for kind in kinds:
        a = torch.randn(side, side, device=device).to(DTYPES[kind])
        b = torch.randn(side, side, device=device).to(DTYPES[kind])
        taken = median_seconds(lambda a=a, b=b: a @ b, device, 2)  # type: ignore[misc]
        found[kind] = 2 * side**3 / taken / 1e9
    block = torch.zeros(1 << 26, device=device)
    other = torch.empty_like(block)
    taken = median_seconds(lambda: other.copy_(block), device, 1)
    found["copy_gb_s"] = 2 * block.numel() * 4 / taken / 1e9
    torch.set_num_threads(1)
    if device.type == "cpu" and (whole := int16_ceiling(threads)) is not None:
        found["int16"] = whole
    return {name: round(value, 1) for name, value in found.items()}


def measure(
    back_end: BackEnd,
    network: Network,
    work: float,
    size: tuple[int, int],
    device: torch.device,
    threads: int,
    limits: dict[str, float],
    seconds: float,
) -> dict[str, Any]:
    """One row. `work`: multiplications and additions per input sample."""
    height, width = size
    count = threads if device.type == "cpu" else 8
    given = torch.rand(count, network.planes, height, width, device=device)
    row: dict[str, Any] = {"back_end": back_end.name, "precision": back_end.precision}
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    try:
        began = time.perf_counter()
        engine = back_end.build(network, device, threads, size)
        engine(given)
        row["start_seconds"] = round(time.perf_counter() - began, 2)
        taken = median_seconds(lambda: engine(given), device, seconds) / count
        whole = median_seconds(
            lambda: enlarge(engine, "plain", 2, given[:, :1]), device, seconds / 3
        )
    except RuntimeError as error:
        return {**row, "error": str(error).splitlines()[0][:200]}
    rate = work * height * width / taken / 1e9
    row |= {
        "ms": round(1000 * taken, 3),
        "frames_s": round(1 / taken, 2),
        "gflop_s": round(rate, 1),
        "share": share(rate, back_end.precision, limits),
        "with_skip_ms": round(1000 * whole / count, 3),
    }
    if device.type == "cuda":
        row["peak_mib"] = torch.cuda.max_memory_allocated(device) >> 20
    return row


def share(rate: float, precision: Precision, limits: dict[str, float]) -> float:
    """Of the limit of its precision, or of float32's where there is none."""
    return round(rate / limits.get(precision, limits["fp32"]), 3)


def networks(names: list[str]) -> list[Network]:
    """Shipped ones by name; '64x16' is a plain network of that width and depth without training."""
    found = []
    for name in names:
        if name[0].isdigit():
            channels, blocks = map(int, name.split("x"))
            net = build("plain", channels, blocks, 2).eval().requires_grad_(False)
            found.append(Network(net, f"plain {name}", name))
        else:
            loaded, card = load_model(name)
            found.append(as_network(loaded, card))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sizes", default=SIZES)
    parser.add_argument("--networks", default=f"{model_names()[-1]},64x16")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--compile", action="store_true", help="also those that begin slowly")
    parser.add_argument("--only", default="", help="starts of names, such as tensorrt")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    device = torch.device(options.device)
    cuda = device.type == "cuda"
    limits = ceilings(device, options.threads)
    document: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if cuda else processor(),
        "threads": options.threads,
        "torch": torch.__version__,
        "ceilings": limits,
        "rows": [],
    }
    print(json.dumps({k: v for k, v in document.items() if k != "rows"}), flush=True)
    only = tuple(filter(None, options.only.split(",")))

    def keep() -> None:
        """Row by row: whoever runs out of time has what was measured."""
        if options.json:
            options.json.write_text(json.dumps(document, indent=1) + "\n", "utf-8")

    with torch.inference_mode():
        for network in networks(options.networks.split(",")):
            # Every layer of a plain network is at the input's size.
            work = 2 * sum(p.numel() for p in network.net.parameters() if p.ndim == 4)
            for text in options.sizes.split(","):
                width, height = map(int, text.split("x"))
                for back_end in candidates(network, device):
                    if only and not back_end.name.startswith(only):
                        continue
                    if back_end.slow_start and not (options.compile or only):
                        continue
                    row = measure(
                        back_end, network, work, (height, width), device, options.threads, limits,
                        options.seconds,
                    )  # fmt: skip
                    row = {"network": network.name, "size": text, **row}
                    document["rows"].append(row)
                    print(json.dumps(row), flush=True)
                    keep()
    # A machine that others use is slower at some minutes: the limits are the best of before and after.
    again = ceilings(device, options.threads)
    limits |= {kind: max(value, again[kind]) for kind, value in limits.items()}
    for row in document["rows"]:
        if "error" not in row:
            row["share"] = share(row["gflop_s"], row["precision"], limits)
    print(json.dumps({"ceilings": limits}))
    keep()
    if not document["rows"]:
        print(f"no back end here is called {options.only}...")


if __name__ == "__main__":
    main()
