"""What this machine has, what is missing, and what to do about it. Looks, and changes nothing."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import torch

from restore.errors import RestoreError
from restore.io.ffmpeg import capabilities, ffmpeg_binary
from restore.machine import VARIABLE, Level, cpu_level, native_level
from restore.nets.backends import BackEnds
from restore.nets.files import as_network, load_model, model_names
from restore.nets.table import user_table
from restore.nets.tensorrt_plan import load, plans_dir
from restore.nets.winograd import why_not
from restore.resources import models_dir, pipelines_dir

State = Literal["ok", "slow", "missing"]

GIB = 1 << 30
ENOUGH_DISK = 5 * GIB
"""An hour of 704x576 film at the default quality is about 2 GiB; finished segments and the joined file
lie side by side for a moment."""
ENOUGH_MEMORY = 2 * GIB


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact about the machine."""

    what: str
    state: State
    """ok; slow: everything works, not as fast or as far as it could; missing: something will fail."""
    detail: str
    advice: str = ""
    """What to do; empty when there is nothing to do."""


def diagnose() -> list[Finding]:
    """Every finding, in the order of a run: programs, codecs, devices, files, room."""
    return [
        _python(),
        _torch(),
        *_devices(),
        _library("opencv-python", "cv2", "apt-get install libgl1 libglib2.0-0"),
        _library("scenedetect", "scenedetect", "pip install scenedetect"),
        _winograd(),
        _openvino(),
        _tensorrt(),
        _networks(),
        _static_ffmpeg(),
        *_codecs(),
        _models(),
        _disk(Path.cwd()),
        _memory(),
    ]


def _python() -> Finding:
    text = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Finding("Python", "ok", text)


def _torch() -> Finding:
    level = torch.backends.cpu.get_cpu_capability()
    return Finding(
        "torch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads, {level}"
    )


def _devices() -> list[Finding]:
    cpu = _processor()
    if torch.cuda.is_available():
        found = []
        for number in range(torch.cuda.device_count()):
            card = torch.cuda.get_device_properties(number)
            text = (
                f"{card.name}, {card.total_memory / GIB:.0f} GiB, compute {card.major}.{card.minor}"
            )
            found.append(Finding(f"cuda:{number}", "ok", text))
        return [cpu, *found]
    if shutil.which("nvidia-smi") is None:
        return [cpu, Finding("CUDA", "ok", "no NVIDIA driver here; networks run on the CPU")]
    why = (
        "this torch was built without CUDA"
        if torch.version.cuda is None
        else "torch sees no device"
    )
    advice = "install the CUDA build of torch, or a driver that is new enough for it"
    return [cpu, Finding("CUDA", "slow", f"an NVIDIA driver is here, but {why}", advice)]


def _processor() -> Finding:
    cores, level = _processors(), cpu_level()
    text = f"{cores} usable processor{'s' if cores != 1 else ''}, class {level}"
    if level < native_level():
        text += f" ({VARIABLE}; it has {native_level()})"
    text += f": {_WORDS[level]}"
    if level > Level.BASELINE or platform.machine() not in ("x86_64", "AMD64"):
        return Finding("CPU", "ok", text)
    return Finding("CPU", "slow", text, "networks run in float32, several times slower")


_WORDS = {
    Level.BASELINE: "no AVX2",
    Level.AVX2: "AVX2, no bf16",
    Level.AVX512: "AVX-512, no bf16",
    Level.VNNI: "AVX-512 with VNNI, no bf16",
    Level.BF16: "bf16 without AMX",
    Level.AMX: "bf16 with AMX",
}


def _processors() -> int:
    """Those this process may use, where the system can tell."""
    affinity: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _library(distribution: str, module: str, advice: str) -> Finding:
    """Imported, not only listed: a wheel can be there and lack a system library."""
    try:
        importlib.import_module(module)
    except ImportError as error:
        return Finding(distribution, "missing", str(error), advice)
    return Finding(distribution, "ok", metadata.version(distribution))


def _openvino() -> Finding:
    found = _library("openvino", "openvino", "pip install 'restore[openvino]'")
    if found.state == "ok":
        return found
    text = "not installed; what winograd cannot run runs in torch, at about half the speed"
    return Finding("openvino", "slow", text, found.advice)


def _winograd() -> Finding:
    why = why_not()
    if not why:
        return Finding("winograd", "ok", "16-bit convolutions, the fastest on CPUs without bf16")
    advice = "apt-get install gcc, then install restore again" if "install" in why else ""
    return Finding("winograd", "slow", f"not used: {why}", advice)


def _tensorrt() -> Finding:
    here, cuda = find_spec("tensorrt") is not None, torch.cuda.is_available()
    if not here:
        why = "PyTorch runs the networks on CUDA" if cuda else "of use on CUDA alone"
        return Finding("TensorRT", "ok", f"not installed; {why}")
    if not cuda:  # not loaded: it wants a driver
        return Finding("TensorRT", "ok", "installed, not used: no CUDA device here")
    try:
        version = load().__version__
    except RuntimeError as error:
        return Finding("TensorRT", "slow", str(error), "pip install --upgrade tensorrt")
    folder = plans_dir()
    plans = len(list(folder.glob("*.plan")))
    text = f"{version}; {plans} plan{'s' if plans != 1 else ''} kept in {folder}"
    return Finding("TensorRT", "ok", text)


def _networks() -> Finding:
    """What runs the networks here, as `restore run` will choose."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        net, card = load_model(model_names()[0])
    except (RestoreError, IndexError):
        return Finding("networks", "ok", "none to try: see models")
    backends = BackEnds(device, _processors())
    try:
        backends.engine(as_network(net, card), 288, 352)
    except RestoreError as error:  # the user's table
        return Finding("networks", "missing", str(error), f"delete {user_table()}")
    ((subject, choice),) = backends.choices.items()
    return Finding("networks", "ok", f"{subject} on {device.type}: {choice}")


def _static_ffmpeg() -> Finding:
    binary = ffmpeg_binary()
    if binary is None:
        advice = "pip install imageio-ffmpeg; training, the sample and some audio copies need it"
        return Finding("static FFmpeg", "missing", "not found", advice)
    return Finding("static FFmpeg", "ok", f"imageio-ffmpeg {metadata.version('imageio-ffmpeg')}")


def _codecs() -> list[Finding]:
    findings = []
    for name, detail in capabilities().items():
        lacks = "missing" in detail
        advice = "install the PyAV wheel again: pip install --force-reinstall av" if lacks else ""
        findings.append(Finding(name, "missing" if lacks else "ok", detail, advice))
    return findings


def _models() -> Finding:
    try:
        names = model_names()
        count = len(list(pipelines_dir().glob("*.toml")))
    except RestoreError as error:
        return Finding("models", "missing", str(error), "install restore again")
    if not names:
        advice = "install restore again, or use model = 'lanczos'"
        return Finding("models", "missing", f"no weights in {models_dir()}", advice)
    return Finding("models", "ok", f"{', '.join(names)}; {count} pipelines")


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    text = f"{free / GIB:.1f} GiB free in {folder}"
    if free < ENOUGH_DISK:
        return Finding("disk", "slow", text, "a long film may not fit: write to another disk")
    return Finding("disk", "ok", text)


def _memory() -> Finding:
    available = _available_memory()
    if available is None:
        return Finding("memory", "ok", "this system does not say how much is available")
    text = f"{available / GIB:.1f} GiB available"
    if available < ENOUGH_MEMORY:
        return Finding("memory", "slow", text, "close other programs before restoring HD video")
    return Finding("memory", "ok", text)


def _available_memory() -> int | None:
    """Bytes, from Linux's own estimate."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    return found[0] * 1024 if found else None
