"""Training: codec-degraded pairs, and the loop that learns from them."""

from restore.train.loop import train

__all__ = ["train"]
