"""The quantiser a frame was coded with, as a step size that means the same for every codec.

Step: the distance between neighbouring reconstruction levels of an AC coefficient, inter or with a weight of
16 in the quantiser matrix, in 8-bit codes, for an orthonormal transform. So the error of a coefficient is
at most about half a step, and without a dead zone its variance is step^2 / 12, whatever the size of the
transform. Default intra matrices weigh coarser towards high frequencies (up to 83/16 in MPEG-1).

What FFmpeg exports (checked in tests by encoding with known quantisers and looking at decoded coefficients):
- MPEG-1, MPEG-2, MPEG-4, H.263 and its kin: twice the quantiser_scale of MPEG-1 and H.263, MPEG-2's as it is,
  linear or not. H.263 6.2.1 and ISO 11172-2 2.4.4.2 rebuild (2 |level| + 1) q: the step is 2 q, what
  is exported.
- H.264: QP' (with the offset of deep formats). Steps double every six (ITU-T H.264 8.5.9).
- RealVideo 3 and 4: twice an index into a table of 32 that also doubles every six. Coefficients are
  level * table / 16; the transform's basis has a norm of 26 and the result is divided by 1024.
"""

from __future__ import annotations

import av
import numpy as np
import numpy.typing as npt
import torch
from av.sidedata.encparams import VideoEncParams, VideoEncParamsType
from av.sidedata.sidedata import Type

from restore.io.side_data import side_data_of
from restore.video import QuantMap

Steps = npt.NDArray[np.float32]

_LINEAR = {
    *("mpeg1video", "mpeg2video", "mpeg4", "h263", "h263p", "h263i", "flv1", "rv10", "rv20"),
    *("msmpeg4v1", "msmpeg4v2", "msmpeg4v3", "wmv1", "wmv2"),
}

_WITH_MAP = (VideoEncParamsType.MPEG2, VideoEncParamsType.H264)

# fmt: off
_RV34 = np.array([
    60, 67, 76, 85, 96, 108, 121, 136, 152, 171, 192, 216, 242, 272, 305, 341,
    383, 432, 481, 544, 606, 683, 767, 854, 963, 1074, 1212, 1392, 1566, 1708, 1978, 2211,
])
# fmt: on
_H264 = np.array([0.625, 0.6875, 0.8125, 0.875, 1.0, 1.125])
"""Steps of QP 0 to 5."""


def steps(codec: str, exported: npt.NDArray[np.int32], depth: int = 8) -> Steps | None:
    """Step sizes for exported quantisers (any shape) of `codec` (FFmpeg's name, as in VideoStream.codec) at
    `depth` bits; float32 in 8-bit codes. None where no table is known."""
    if codec in _LINEAR:
        return exported.astype(np.float32)
    if codec == "h264":
        qp = np.clip(exported, 0, None)
        return np.asarray(_H264[qp % 6] * 2.0 ** (qp // 6) / 2.0 ** (depth - 8), np.float32)
    if codec in ("rv30", "rv40"):
        table = _RV34 / 16 * 26**2 / 1024
        return np.asarray(table[np.clip(exported // 2, 0, 31)], np.float32)
    return None


def quant_map(
    codec: str, frame: av.VideoFrame, origin: tuple[int, int] = (0, 0)
) -> QuantMap | None:
    """Steps of each macroblock of a frame as decoded, before any filter and with side data
    'venc_params' exported; None where the decoder gives none. `origin`: (down, right) luma samples that the bitstream cuts
    off before the frame's first one."""
    data = next((d for d in side_data_of(frame) if d.type is Type.VIDEO_ENC_PARAMS), None)
    if not isinstance(data, VideoEncParams):
        return None
    exported = macroblocks(data, origin[0] + frame.height, origin[1] + frame.width)
    if exported is None:  # blocks that are not 16x16, or of a codec without a map
        return None
    found = steps(codec, exported, max(c.bits for c in frame.format.components))
    if found is None:
        return None
    return QuantMap(torch.from_numpy(np.ascontiguousarray(found)), origin=origin)


def macroblocks(data: VideoEncParams, height: int, width: int) -> npt.NDArray[np.int32] | None:
    """What `data.qp_map()` gives for a frame of this size, None where that raises: the blocks read at once, where PyAV
    asks for one after another, which takes longer than decoding the frame."""
    shape = (-(-height // 16), -(-width // 16))
    count, first, size = shape[0] * shape[1], data.blocks_offset, data.block_size
    if data.nb_blocks != count or data.codec_type not in _WITH_MAP:
        return None
    raw = np.frombuffer(data, np.uint8)  # type: ignore[call-overload]
    # AVVideoBlockParams: x, y, width, height and the difference from the frame's quantiser.
    blocks = raw[first : first + count * size].reshape(count, size)[:, :20]
    x, y, _, _, delta = np.ascontiguousarray(blocks).view(np.int32).T
    found = np.empty(shape, np.int32)
    found[y // 16, x // 16] = data.qp + delta
    return found
