"""Restore old and damaged video: exact time stamps, every stream, from a pipeline file."""

__version__ = "0.1.0"
