# For hosts with an NVIDIA GPU and its container toolkit; works without a GPU too, on the CPU.
#
#   docker build -t restore .
#   docker run --rm --gpus all -v "$PWD:/video" restore run bw_film_x2 input.rmvb out.mkv
#
# torch's wheel brings its own CUDA libraries, so the base needs none; the driver comes from the host.
# The image holds GPL encoders (x264, x265) inside the FFmpeg of two wheels: honour their licence when passing it on.

FROM python:3.11-slim

# OpenCV's wheel links against these.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*

# Dependencies first: a change of the program does not install torch again.
WORKDIR /build
COPY constraints.txt ./
RUN pip install --no-cache-dir -c constraints.txt \
    torch av numpy opencv-python scenedetect ffmpeg-python imageio-ffmpeg rich typer pydantic safetensors openvino

COPY pyproject.toml README.md LICENSE ./
COPY restore restore
COPY pipelines pipelines
COPY models models
RUN pip install --no-cache-dir -c constraints.txt '.[openvino]' && rm -rf /build

ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility,video
RUN useradd --create-home restore
USER restore
WORKDIR /video
ENTRYPOINT ["restore"]
CMD ["--help"]
