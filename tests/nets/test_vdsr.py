"""VDSR's published weights are read, refused when they are something else, and give the published quality."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from restore.errors import ModelError
from restore.nets.architectures import enlarge
from restore.nets.vdsr import VDSR, load_vdsr
from restore.planes import resample


def archive(path: Path, net: VDSR, **changes: np.ndarray | None) -> Path:
    """`net` as the ports name its weights; a change of None leaves an array out."""
    own = {k: v.numpy() for k, v in net.state_dict().items()}
    arrays = {"input.weight": own["head.weight"], "output.weight": own["tail.weight"]} | {
        f"residual_layer.{i}.conv.weight": own[f"body.{i}.weight"] for i in range(len(net.body))
    }
    arrays |= changes
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
    return path


def test_weights_come_in_under_their_names(tmp_path: Path) -> None:
    net = VDSR(4, 3)
    loaded = load_vdsr(archive(tmp_path / "vdsr.npz", net))
    x = torch.rand(1, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(loaded(x), net(x))
    assert not loaded.training


def test_without_biases_brightness_scales_through() -> None:
    with torch.no_grad():
        net, x = VDSR(4, 3), torch.rand(1, 1, 8, 8)
        torch.testing.assert_close(net(2 * x), 2 * net(x))


def test_what_is_missing_or_wrong_is_named(tmp_path: Path) -> None:
    path = archive(
        tmp_path / "odd.npz",
        VDSR(4, 3),
        **{"input.weight": np.zeros((4, 3, 3, 3)), "output.weight": None, "other": np.zeros(2)},
    )
    with pytest.raises(ModelError) as caught:
        load_vdsr(path)
    assert str(caught.value).splitlines() == [
        f"{path}: input.weight: expected (4, 1, 3, 3), got (4, 3, 3, 3)",
        f"{path}: other: expected no such array, got (2,)",
        f"{path}: output.weight: expected (1, 4, 3, 3), got none",
        "expected the weights of VDSR",
    ]


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.npz"
    with pytest.raises(ModelError, match=r"file.npz: cannot be read: No such file"):
        load_vdsr(path)
    for content in (b"", b"text", b"PK\x03\x04 cut short"):
        path.write_bytes(content)
        with pytest.raises(ModelError, match=r"file.npz: not a NumPy archive"):
            load_vdsr(path)
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "one.npy").rename(path)
    with pytest.raises(ModelError, match=r"file.npz: not a NumPy archive"):
        load_vdsr(path)


def test_nothing_in_the_file_is_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    path = tmp_path / "trap.npz"
    np.savez(path, **{"input.weight": np.array([Trap()], dtype=object)})
    with pytest.raises(ModelError, match=r"trap.npz: not a NumPy archive"):
        load_vdsr(path)
    assert not (tmp_path / "sprung").exists()


def luma(path: Path) -> Tensor:
    """(1, 1, h, w) float64 nominal luma of even size, by MATLAB's rgb2ycbcr (BT.601, limited range)."""
    image = cv2.imread(str(path)).astype(np.float64)
    blue, green, red = torch.from_numpy(image).unbind(-1)
    nominal = (65.481 * red + 128.553 * green + 24.966 * blue) / 255 / 219
    return nominal[None, None, : len(image) // 2 * 2, : image.shape[1] // 2 * 2]


def psnr(found: Tensor, wanted: Tensor) -> float:
    """dB in codes of 0..255, a border of 2 left out."""
    inner = (..., slice(2, -2), slice(2, -2))
    mse = ((found.double()[inner] - wanted[inner]) * 219).square().mean()
    return 10 * math.log10(255**2 / float(mse))


def test_set5_reads_as_published(real: Callable[[str], Path]) -> None:
    """Kim et al., table 3, x2: bicubic 33.66 dB, VDSR 37.53 dB. The low resolution is rounded to codes."""
    net = load_vdsr(real("weights/vdsr_x2_y_mit.npz"))
    scores = []
    for number in range(1, 6):
        high = luma(real(f"images/Set5/img_{number:03d}.png"))
        height, width = high.shape[-2:]
        low = resample(high, (height // 2, width // 2), kernel="bicubic")
        low = (low * 219).round().float() / 219
        with torch.inference_mode():
            made = enlarge(net, "vdsr", 2, low)
        scores.append(
            (psnr(resample(low, (height, width), kernel="bicubic"), high), psnr(made, high))
        )
    bicubic, vdsr = np.mean(scores, 0)
    assert abs(bicubic - 33.66) < 0.03, scores
    assert abs(vdsr - 37.53) < 0.05, scores
