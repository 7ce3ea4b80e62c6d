"""Two videos compared: `restore compare`."""
