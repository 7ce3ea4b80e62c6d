"""Two videos in one picture: frames paired by time, brought to one size, composed, labelled."""
