# For hosts with an NVIDIA GPU and its container toolkit; works without a GPU too, on the CPU.
#
#   docker build -t restore .
#   docker run --rm --gpus all -v "$PWD:/data" restore run bw_film_x2 /data/in.rmvb /data/out.mkv
#
# Without CUDA, much smaller:
#
#   docker build --build-arg DEVICE=cpu -t restore:cpu .
#
# Files in /data are written as user 1000; another user: docker run --user "$(id -u):$(id -g)".
# Where no registry of images can be reached, docker/build-offline.sh makes the base as well.
# The image holds GPL encoders (x264, x265) inside the FFmpeg of two wheels: honour their licence when passing it on;
# /opt/restore/LICENSES.txt lists what every package in it says of its own.

# Any Debian 12 with Python 3.11, its venv module included.
ARG BASE=docker.io/library/python:3.11.14-slim-bookworm

FROM ${BASE} AS build
ARG DEVICE=cuda
# torch's wheel on PyPI brings its own CUDA libraries, so the base needs none; the driver comes from the host.
ARG CPU_INDEX=https://download.pytorch.org/whl/cpu
# One back end is compiled (hatch_build.py).
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev
RUN python3 -m venv /opt/restore
ENV PATH=/opt/restore/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
# Dependencies first: a change of the program does not install torch again.
COPY constraints.txt ./
RUN if [ "$DEVICE" = cpu ]; then export PIP_EXTRA_INDEX_URL="$PIP_EXTRA_INDEX_URL $CPU_INDEX"; fi; \
    pip install -c constraints.txt hatchling \
    torch av numpy opencv-python scenedetect ffmpeg-python imageio-ffmpeg rich typer pydantic safetensors openvino
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY restore restore
COPY pipelines pipelines
COPY models models
COPY docker/licenses.py /build/
RUN pip install -c constraints.txt --no-deps --no-build-isolation . \
    && pip uninstall -q -y hatchling pathspec trove-classifiers pluggy \
    && python licenses.py > /opt/restore/LICENSES.txt \
    && pip uninstall -q -y pip

FROM ${BASE}
LABEL org.opencontainers.image.title="restore" \
      org.opencontainers.image.description="Restore old and damaged video" \
      org.opencontainers.image.licenses="Apache-2.0 AND GPL-2.0-or-later"
# OpenCV's wheel links against these.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/restore /opt/restore
RUN useradd --create-home --uid 1000 restore && mkdir /data && chown restore /data
ENV PATH=/opt/restore/bin:$PATH PYTHONDONTWRITEBYTECODE=1 \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility,video
USER restore
WORKDIR /data
HEALTHCHECK --interval=10m --timeout=60s CMD ["restore", "doctor"]
ENTRYPOINT ["restore"]
CMD ["--help"]
