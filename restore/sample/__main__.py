"""python -m restore.sample SOURCE RESULT PNG [SECONDS]: the before/after sheet that `make run` shows."""

import sys
from pathlib import Path

from restore.sample import before_after

source, result, png, *at = sys.argv[1:]
before_after(Path(source), Path(result), Path(png), float(at[0]) if at else 1.2)
