"""Every back end gives the reference's picture."""

import pytest
import torch

from restore.nets import engine as engines
from restore.nets.edsr import EDSR
from restore.nets.engine import OpenVinoEngine, TorchEngine, fast_dtype, make_engine
from restore.nets.plain import PlainSR

CPU = torch.device("cpu")
TOLERANCE_CODES = {torch.float32: 0.01, torch.bfloat16: 0.5}
"""Largest difference from the float32 reference, in 8-bit codes, for residuals of up to 20 codes."""


@pytest.fixture(scope="module")
def net() -> PlainSR:
    torch.manual_seed(0)
    net = PlainSR(32, 3, 2)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return net.eval()


@pytest.mark.parametrize("size", [(16, 24), (7, 9), (33, 18), (1, 1)])
@pytest.mark.parametrize("kind", ["torch", "openvino"])
@torch.inference_mode()
def test_agrees_with_the_reference(kind: str, size: tuple[int, int], net: PlainSR) -> None:
    luma = torch.rand(3, 1, *size, generator=torch.Generator().manual_seed(1))
    wanted = net(luma)
    if kind == "openvino":
        pytest.importorskip("openvino", reason="the openvino extra is not installed")
        found = OpenVinoEngine(net, 2)(luma)
    else:
        found = TorchEngine(net, CPU, 2)(luma)
        net.float()
    assert found.dtype == torch.float32
    assert found.shape == wanted.shape
    assert float(wanted.abs().max()) * 219 > 2
    assert float((found - wanted).abs().max()) * 219 < TOLERANCE_CODES[fast_dtype(CPU)]


@torch.inference_mode()
def test_jobs_do_not_mix_and_threads_do_not_matter(net: PlainSR) -> None:
    luma = torch.rand(6, 1, 20, 28)
    whole = make_engine(net, CPU, 2)(luma)
    for threads in (1, 3):
        single = make_engine(net, CPU, threads)
        parts = torch.cat([single(luma[i : i + 1]) for i in range(6)])
        torch.testing.assert_close(parts, whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("residual", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
@torch.inference_mode()
def test_a_whole_picture_stays_float32(
    residual: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "fast_dtype", lambda _: torch.bfloat16)
    seen: list[torch.dtype] = []
    net = EDSR(4, 1, 1)
    net.register_forward_pre_hook(lambda _, given: seen.append(given[0].dtype))
    out = make_engine(net, CPU, 1, residual=residual)(torch.rand(1, 1, 4, 4))
    assert seen == [dtype]
    assert out.dtype == torch.float32
