"""What is wrong with a video, measured on samples of it, and a pipeline that fits."""
