"""The media layer: the only importer of av."""
