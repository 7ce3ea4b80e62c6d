"""Imports under `loading` leave out what a run does not use, and whoever uses it still gets it."""

import json
import subprocess
import sys

PROBE = """
import json, sys
from restore.cli.loading import loading

with loading():
    import torch

import restore.run.local
from restore.nets.backends import BackEnds

found = {"left": "torch._decomp" not in sys.modules}
conv = torch.nn.Conv2d(1, 2, 3)
picture = torch.ones(1, 1, 8, 8)
found["works"] = list(conv(picture).shape)
program = torch.export.export(conv, (picture,))
found["made up"] = "torch._decomp" in sys.modules and len(dir(torch._meta_registrations)) > 100
found["exported"] = bool(torch.equal(program.module()(picture), conv(picture)))
print(json.dumps(found))
"""

LOOK = """
from restore.cli.loading import loading

with loading():
    import torch

from torch._meta_registrations import meta_index_Tensor

print(meta_index_Tensor.__module__)
"""

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


def test_pytorch_without_what_only_compilers_use() -> None:
    assert json.loads(said(PROBE)) == {
        "left": True,
        "works": [1, 2, 6, 6],
        "made up": True,
        "exported": True,
    }


def test_what_was_left_out_is_there_for_who_looks() -> None:
    assert said(LOOK) == "torch._meta_registrations"


def test_openvino_without_its_converter() -> None:
    assert said(NETWORKS) == "False True"
