#!/bin/sh
# All that wants a GPU, unattended, in under eight minutes: tests of the CUDA back ends, networks alone, whole pipelines.
#
#   benchmarks/gpu.sh OUT.json        WHEELS=folder: Python packages to use where no registry can be reached
#                                     PYTHON=python3: an interpreter with a CUDA torch
#
# What cannot run (no video library, no test runner) is left out and said so in the file.
set -u
out=$(realpath "${1:?usage: benchmarks/gpu.sh OUT.json}")
cd "$(dirname "$0")/.." || exit 1
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PYTHONPATH="$PWD" XDG_CACHE_HOME="$work/cache" PYTHONUNBUFFERED=1
if [ -n "${WHEELS:-}" ]; then
    "$python" -m pip install -q --no-index --no-deps --no-compile --target "$work/site" "$WHEELS"/*.whl || exit 1
    export PYTHONPATH="$PWD:$work/site"
fi
"$python" -c 'import torch; assert torch.cuda.is_available(), "torch sees no CUDA device"' || exit 1

part() { # part NAME SECONDS COMMAND...: its end and its status are kept, whatever becomes of it
    name=$1 limit=$2
    shift 2
    echo "== $name"
    timeout "$limit" "$@" >"$work/$name.log" 2>&1
    echo $? >"$work/$name.status"
    tail -n 5 "$work/$name.log"
}

part tests 90 "$python" -m pytest -q -p no:cacheprovider tests/nets/test_engine.py tests/nets/test_ladder.py
part networks 150 "$python" benchmarks/backends.py --device cuda --compile --seconds 1 --json "$work/networks.json"
part runs 220 "$python" benchmarks/performance.py --device cuda --sizes 352x288,720x576,1920x1080 --frames 400 \
    --threads 8 --seconds 0.5 --no-peer --json "$work/runs.json"

"$python" - "$work" "$out" <<'PY'
import json, sys
from pathlib import Path

work, out = map(Path, sys.argv[1:])
document = {}
for status in sorted(work.glob("*.status")):
    name = status.stem
    result = work / f"{name}.json"
    document[name] = {
        "status": int(status.read_text()),
        "end_of_output": (work / f"{name}.log").read_text(errors="replace").splitlines()[-15:],
        "result": json.loads(result.read_text()) if result.is_file() else None,
    }
out.write_text(json.dumps(document, indent=1) + "\n")
print(f"wrote {out}")
PY
