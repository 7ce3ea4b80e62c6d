"""Which PyTorch set-up takes, and what it says before anything is fetched."""

import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import setup_torch

Report = dict[str, Any]


def report(tmp_path: Path, **sizes: int) -> Report:
    """As pip gives it, of files that are here."""
    items = []
    for name, size in sizes.items():
        file = tmp_path / f"{name} {size}.whl"
        with file.open("wb") as sparse:
            sparse.truncate(size)
        url = file.as_uri()
        items.append({"metadata": {"name": name.replace("_", "-")}, "download_info": {"url": url}})
    return {"install": items}


@pytest.fixture
def cuda(tmp_path: Path) -> Report:
    return report(tmp_path, torch=900_000_000, nvidia_cudnn_cu13=600_000_000, triton=200_000_000)


@pytest.fixture
def small(tmp_path: Path) -> Report:
    return report(tmp_path, torch=190_000_000, sympy=6_000_000)


def test_the_cpu_build_where_there_is_no_driver(cuda: Report, small: Report) -> None:
    asked = []

    def ask(*arguments: str) -> Report:
        asked.append(arguments)
        return small if "--index-url" in arguments else cuda

    ((line, arguments),) = setup_torch.plan("torch==2.13.0", False, ask)
    assert arguments == ["torch==2.13.0", "--index-url", setup_torch.CPU_INDEX]
    assert "no NVIDIA driver here: about 0.2 GB to fetch (with CUDA: about 1.7 GB)" in line
    assert "--retries" in asked[1]  # an index that is not there costs seconds, not minutes


def test_the_size_is_said_where_no_cpu_build_can_be_had(cuda: Report) -> None:
    def ask(*arguments: str) -> Report | None:
        return None if "--index-url" in arguments else cuda

    ((line, arguments),) = setup_torch.plan("torch==2.13.0", False, ask)
    assert arguments == []
    assert "about 1.7 GB to fetch, though there is no NVIDIA driver here" in line
    assert "TORCH_INDEX" in line


def test_a_gpu_gets_cuda(cuda: Report) -> None:
    ((line, arguments),) = setup_torch.plan("torch", True, lambda *_: cuda)
    assert arguments == []
    assert "with CUDA, for this machine's NVIDIA GPU: about 1.7 GB" in line


def test_an_index_of_cpu_builds_is_taken_as_it_is(small: Report) -> None:
    ((line, arguments),) = setup_torch.plan("torch", False, lambda *_: small)
    assert (line, arguments) == ("PyTorch: about 0.2 GB to fetch", [])


def test_what_pip_cannot_tell_is_left_to_the_installation() -> None:
    assert setup_torch.plan("torch", False, lambda *_: None) == []


def test_a_size_that_nobody_tells_is_not_made_up(tmp_path: Path, cuda: Report) -> None:
    cuda["install"][0]["download_info"]["url"] = (tmp_path / "gone.whl").as_uri()
    ((line, _),) = setup_torch.plan("torch", True, lambda *_: cuda)
    assert "about 0.8 GB or more" in line


def test_the_pin_is_that_of_the_constraints() -> None:
    wanted = setup_torch.pinned((ROOT / "constraints.txt").read_text("utf-8"))
    assert wanted.startswith("torch==")
    assert setup_torch.pinned("numpy==2\n") == "torch"


def test_an_installed_torch_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was run")

    monkeypatch.setattr(setup_torch.subprocess, "run", refuse)
    setup_torch.main(ROOT / "constraints.txt")
