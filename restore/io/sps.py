"""How far an H.264 stream cuts off its coded pictures at the left and top, which PyAV does not show (ITU-T H.264, 7.3.2.1.1)."""

from __future__ import annotations

from itertools import islice

_WITH_CHROMA = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}
"""Profiles whose parameters say how chroma is sampled."""
_MOST = 255
"""Offsets in a cycle of picture order."""


def cut_at_start(extradata: bytes | None) -> tuple[int, int]:
    """(down, right) luma samples between the first coded one and the first shown one; 0 where it cannot be read."""
    try:
        return _cut(_Bits(_parameters(extradata or b"")))
    except (ValueError, IndexError):
        return 0, 0


def _parameters(extradata: bytes) -> bytes:
    """The first sequence parameter set behind its header, of MP4's record or of a byte stream. ValueError without one."""
    if extradata[:1] == b"\1":
        unit = extradata[8 : 8 + int.from_bytes(extradata[6:8], "big")]
    else:
        units = extradata.split(b"\0\0\1")[1:]
        unit = next((u for u in units if u and u[0] & 31 == 7), b"")
    if not unit:
        raise ValueError("no parameter set")
    return unit[1:].replace(b"\0\0\3", b"\0\0")


class _Bits:
    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def take(self, count: int = 1) -> int:
        """The next bits. ValueError behind the last one."""
        self._left -= count
        if self._left < 0:
            raise ValueError("the parameter set is cut short")
        return self._value >> self._left & ((1 << count) - 1)

    def number(self) -> int:
        """ue(v)."""
        zeros = 0
        while not self.take():
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)

    def signed(self) -> int:
        """se(v)."""
        value = self.number()
        return (value + 1) // 2 if value % 2 else -(value // 2)


def _cut(bits: _Bits) -> tuple[int, int]:
    profile = bits.take(24) >> 16
    bits.number()
    sampling = 1
    if profile in _WITH_CHROMA:
        sampling = bits.number()
        whole = sampling == 3 and bool(bits.take())
        bits.number(), bits.number(), bits.take()
        if bits.take():
            for number in range(12 if sampling == 3 else 8):
                _skip_scaling(bits, 16 if number < 6 else 64)
        sampling = 0 if whole else sampling
    bits.number()
    order = bits.number()
    if order == 0:
        bits.number()
    elif order == 1:
        bits.take(), bits.signed(), bits.signed()
        for _ in islice(range(bits.number()), _MOST):
            bits.signed()
    bits.number(), bits.take(), bits.number(), bits.number()
    frames_only = bits.take()
    if not frames_only:
        bits.take()
    bits.take()
    if not bits.take():
        return 0, 0
    left, _, top, _ = (bits.number() for _ in range(4))
    across, down = {1: (2, 2), 2: (2, 1)}.get(sampling, (1, 1))
    return top * down * (2 - frames_only), left * across


def _skip_scaling(bits: _Bits, size: int) -> None:
    if not bits.take():
        return
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last
