"""Winograd's convolutions in whole numbers as a back end of plain networks, on a CPU with AVX2. Each frame is one job for one thread."""

from __future__ import annotations

import ctypes
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import numpy as np
import torch
from torch import Tensor

from restore.nets.engine import Network
from restore.nets.int8 import MOST_ACTIVATION, measured_ranges, plain
from restore.nets.plain import MEAN
from restore.nets.winograd import LANES, head, layer, library, padded_shape, why_not


def can_run(network: Network) -> bool:
    """Whether WinogradEngine can, here."""
    return plain(network).channels % LANES == 0 and not why_not()


class WinogradEngine:
    """Head in float32, body and tail in whole numbers (see nets.winograd), for PlainSR alone: TypeError for others, RuntimeError
    where it cannot run. Inputs and outputs are float32."""

    def __init__(self, network: Network, threads: int) -> None:
        net = plain(network)
        if net.channels % LANES:
            raise RuntimeError(f"expected channels in multiples of {LANES}, got {net.channels}")
        self._functions = library()
        self._planes, self._colours, self._scale = net.in_planes, net.colours, net.scale
        self._channels = net.channels
        self._mean = np.array(
            [MEAN] * net.colours + [0.0] * (net.in_planes - net.colours), np.float32
        )
        steps = [top / MOST_ACTIVATION for top in measured_ranges(net)]
        self._head = head(net.head, steps[0])
        self._body = [layer(conv, steps[n], steps[n + 1]) for n, conv in enumerate(net.layers())]
        self._tail = layer(net.tail, steps[-1], 1.0)
        self._pool = ThreadPoolExecutor(threads, "winograd")
        self._spaces: SimpleQueue[_Space] = SimpleQueue()
        for _ in range(threads):
            self._spaces.put(_Space())

    def __call__(self, given: Tensor) -> Tensor:
        count, _, height, width = given.shape
        frames = given.float().contiguous().numpy()
        result = torch.empty(count, self._colours, height * self._scale, width * self._scale)
        jobs = [self._pool.submit(self._run, frames[n], result[n].numpy()) for n in range(count)]
        for job in jobs:
            job.result()
        return result

    def _run(self, planes: np.ndarray, out: np.ndarray) -> None:
        space = self._spaces.get()
        try:
            self._layers(space, planes, out)
        finally:
            self._spaces.put(space)

    def _layers(self, space: _Space, planes: np.ndarray, out: np.ndarray) -> None:
        given, height, width = planes.shape
        space.fit(self._planes, height, width, self._channels, self._functions)
        size = (height, width)
        weights, bias = self._head
        now, other = space.bytes
        self._functions.winograd_head(
            # Planes that are not given are zero, as are their kernels' shares.
            *(_at(planes), _at(self._mean), min(given, self._planes), *size, self._channels),
            *(_at(weights), _at(bias), _at(space.padded), _at(now)),
        )
        for convolution in self._body:
            self._functions.winograd_body(
                *(_at(now), _at(other), *size, self._channels, convolution.outputs),
                *(_at(convolution.weights), _at(convolution.steps), _at(convolution.bias)),
                _at(space.scratch),
            )
            now, other = other, now
        self._functions.winograd_tail(
            *(_at(now), _at(out), *size, self._channels, self._tail.outputs, self._scale),
            *(_at(self._tail.weights), _at(self._tail.steps), _at(self._tail.bias)),
            _at(space.scratch),
        )


class _Space:
    """What one frame in work needs: activations before and after a layer, and scratch."""

    def __init__(self) -> None:
        self._size = (0, 0, 0, 0)
        self.padded = self.scratch = np.empty(0)
        self.bytes = (self.padded, self.padded)

    def fit(
        self, planes: int, height: int, width: int, channels: int, functions: ctypes.CDLL
    ) -> None:
        size = (planes, height, width, channels)
        if size == self._size:
            return
        self.padded = np.empty((planes, height + 2, width + 2), np.float32)
        self.scratch = np.empty(functions.winograd_scratch(channels), np.uint8)
        shape = padded_shape(height, width, channels)
        self.bytes = (np.zeros(shape, np.uint8), np.zeros(shape, np.uint8))
        self._size = size


def _at(array: np.ndarray) -> ctypes.c_void_p:
    return array.ctypes.data_as(ctypes.c_void_p)
