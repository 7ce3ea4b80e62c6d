"""How many frames a run has in work at a time."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

import pytest
import torch

from restore.run.batches import MOST, batch_frames
from restore.video import Chroma, VideoFormat

CUDA = torch.device("cuda", 0)


def chain(width: int, height: int) -> list[VideoFormat]:
    """A source and one stage that enlarges it."""
    source = VideoFormat(width, height, Chroma.C420, 8, Fraction(1, 1000))
    return [source, source.scaled(2)]


def test_a_cpu_gets_a_frame_per_thread_up_to_a_few() -> None:
    found = [batch_frames(torch.device("cpu"), n, chain(3840, 2160)) for n in (1, 2, 64)]
    assert found == [1, 2, MOST]


@pytest.mark.parametrize(
    ("size", "card_mib", "wanted"),
    [
        # 352x288: 0.58 MiB of planes, and four times that enlarged: 2.9 MiB, four sets of it, a quarter of the card.
        ((352, 288), 2000, MOST),
        ((352, 288), 480, 10),
        ((1920, 1080), 8000, 8),
        ((1920, 1080), 40000, MOST),
        ((3840, 2160), 100, 1),
    ],
)
def test_a_gpu_gets_what_the_card_is_made_for(
    size: tuple[int, int], card_mib: int, wanted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = SimpleNamespace(total_memory=card_mib << 20)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: card)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: pytest.fail("what others left"))
    assert batch_frames(CUDA, 8, chain(*size)) == wanted
