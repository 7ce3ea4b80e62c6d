"""Networks (code) and how their weights are loaded; the weights themselves are in `models/`."""

from restore.nets.files import ModelCard, load_model, model_names, save_model
from restore.nets.plain import PlainSR, RepPlainSR

__all__ = ["ModelCard", "PlainSR", "RepPlainSR", "load_model", "model_names", "save_model"]
