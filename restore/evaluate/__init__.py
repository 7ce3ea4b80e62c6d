"""Scores of networks and pipelines on images and clips of known truth."""
