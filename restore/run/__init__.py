"""Engines: how a pipeline is run over a whole file."""
