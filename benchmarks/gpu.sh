#!/bin/sh
# All that wants a GPU, unattended, in under eight minutes, into one JSON: tests of the CUDA back ends, networks alone
# (TensorRT where it is installed), motion, decoding by the card, whole pipelines with and without the GPU.
#
#   benchmarks/gpu.sh OUT.json             WHEELS=folder: Python packages to use where no registry can be reached
#                                          PYTHON=python3: an interpreter with a CUDA torch
#   benchmarks/gpu.sh --dry-run OUT.json   every part on the CPU with pictures of a stamp's size: whether it all runs
#
# Each part has its own time and is kept for itself: what cannot run (no video library, no test runner, no TensorRT), fails or
# takes too long is said so in the file, and the rest goes on.
set -u
dry=
if [ "${1:-}" = --dry-run ]; then
    dry=yes
    shift
fi
out=$(realpath "${1:?usage: benchmarks/gpu.sh [--dry-run] OUT.json}")
cd "$(dirname "$0")/.." || exit 1
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PYTHONPATH="$PWD" XDG_CACHE_HOME="$work/cache" PYTHONUNBUFFERED=1
if [ -n "${WHEELS:-}" ]; then
    "$python" -m pip install -q --no-index --no-deps --no-compile --target "$work/site" "$WHEELS"/*.whl || exit 1
    export PYTHONPATH="$PWD:$work/site"
fi
if [ -n "$dry" ]; then
    device=cpu small=48x32 middle=56x40 large=64x48 frames=8 threads=1 seconds=0.05 longer=2
    networks=film_x2_fast
else
    "$python" -c 'import torch; assert torch.cuda.is_available(), "torch sees no CUDA device"' || exit 1
    device=cuda small=352x288 middle=720x576 large=1920x1080 frames=240 threads=8 seconds=1 longer=1
    networks=film_x2_fast,film_x2
fi

part() { # part NAME SECONDS COMMAND...: its end and its status are kept, whatever becomes of it
    name=$1 limit=$(($2 * longer))
    shift 2
    echo "== $name"
    began=$(date +%s)
    timeout -k 5 "$limit" "$@" >"$work/$name.log" 2>&1
    echo "$? $limit $(($(date +%s) - began))" >"$work/$name.status"
    tail -n 3 "$work/$name.log"
}

alone() { # alone NAME SECONDS ARGUMENTS...: networks without a pipeline
    name=$1 limit=$2
    shift 2
    part "$name" "$limit" "$python" benchmarks/backends.py --device "$device" --threads "$threads" --seconds "$seconds" \
        --json "$work/$name.json" "$@"
}

runs() { # runs NAME SECONDS DEVICE SIZE FRAMES
    part "$1" "$2" "$python" benchmarks/performance.py --device "$3" --sizes "$4" --frames "$5" --networks "" \
        --pipelines bw_film_x2_fast,bw_film_x2 --threads "$threads" --no-peer --no-floor --json "$work/$1.json"
}

part tests 60 "$python" -m pytest -q -p no:cacheprovider -k "cuda or card_gives" tests/nets/test_engine.py \
    tests/nets/test_ladder.py tests/nets/test_tensorrt.py tests/io/test_card.py
alone networks 70 --sizes "$small,$middle,$large" --networks "$networks"
alone compiled 50 --sizes "$small" --networks film_x2_fast --only torch-compile
alone tensorrt 90 --sizes "$small,$middle" --networks "$networks" --only tensorrt
part motion 20 "$python" benchmarks/motion_device.py --device "$device" --sizes "$small,$middle,$large" \
    --seconds "$seconds" --json "$work/motion.json"
part decoding 20 "$python" benchmarks/decoding.py --sizes "$small,$middle,$large" --frames "$frames" --json "$work/decoding.json"
runs small_gpu 45 "$device" "$small" "$frames"
runs middle_gpu 25 "$device" "$middle" "$frames"
runs large_gpu 30 "$device" "$large" "$frames"
runs small_cpu 45 cpu "$small" "$((frames / 4))"

"$python" - "$work" "$out" "$device" <<'PY'
import json, sys
from pathlib import Path

work, out, device = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
document = {"device": device, "parts": {}}
for path in sorted(work.glob("*.status"), key=lambda p: p.stat().st_mtime_ns):
    status, limit, taken = map(int, path.read_text().split())
    try:
        result = json.loads((work / f"{path.stem}.json").read_text())
    except (OSError, ValueError):
        result = None
    document["parts"][path.stem] = {
        "status": status,
        "timed_out": status in (124, 137),
        "limit_seconds": limit,
        "seconds": taken,
        "end_of_output": (work / f"{path.stem}.log").read_text(errors="replace").splitlines()[-15:],
        "result": result,
    }
out.write_text(json.dumps(document, indent=1) + "\n")
failed = [name for name, part in document["parts"].items() if part["status"]]
print(f"wrote {out}; {len(document['parts'])} parts, failed: {', '.join(failed) or 'none'}")
PY
