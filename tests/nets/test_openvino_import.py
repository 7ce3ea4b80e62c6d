"""Imports leave out what a run does not use, and whoever uses it still gets it."""

import subprocess
import sys

NETWORKS = """
import sys
from restore.nets.openvino_engine import capabilities

capabilities()
before = "openvino.tools.ovc" in sys.modules
import openvino.tools.ovc

print(before, callable(openvino.tools.ovc.convert_model))
"""


def said(program: str) -> str:
    """What a fresh interpreter prints last."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()[-1]


def test_openvino_without_its_converter() -> None:
    assert said(NETWORKS) == "False True"
