"""One page about a restoration, for the eyes: `restore report`."""
