"""Before and after of a few moments, and what the whole would cost: `restore preview`."""
