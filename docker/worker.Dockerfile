# The image that trains and replies. torch's own wheel brings CUDA, the host only its driver and the NVIDIA Container
# Toolkit. From the root of the repository:
#
#   docker build --file docker/worker.Dockerfile --tag understudy-worker:0.1.0 .

FROM python:3.11.15-slim-bookworm@sha256:d29f48a31a8b408ed19272ca1e7b10ebae13b240a27e862d3d4217c528e2e0c3 AS build
# The Makefile's TORCH; first, so that a change of ours or of the lock does not fetch gigabytes again.
ARG TORCH=torch==2.13.0
RUN python -m venv /opt/understudy
RUN --mount=type=cache,target=/root/.cache/pip /opt/understudy/bin/python -m pip install "$TORCH"
WORKDIR /src
# The extras train, bagel, four-bit and postgres: a card for which the memory plan takes 4 bits needs bitsandbytes.
COPY requirements/worker.txt requirements/worker.txt
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/understudy/bin/python -m pip install --no-deps --require-hashes --requirement requirements/worker.txt
COPY pyproject.toml README.md LICENSE ./
COPY pipelines pipelines
COPY studio studio
COPY worker worker
RUN /opt/understudy/bin/python -m pip install --no-deps --no-build-isolation .

FROM python:3.11.15-slim-bookworm@sha256:d29f48a31a8b408ed19272ca1e7b10ebae13b240a27e862d3d4217c528e2e0c3
RUN useradd --uid 10001 --user-group --create-home --home-dir /var/lib/understudy understudy
COPY --from=build /opt/understudy /opt/understudy
ENV PATH=/opt/understudy/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    UNDERSTUDY_HOME=/var/lib/understudy \
    HF_HOME=/var/lib/understudy/cache/huggingface \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001:10001
WORKDIR /var/lib/understudy
# The starter's language expert, so that a new volume begins with it and the first job needs no network.
RUN python -c "from pipelines.core.settings import cache_dir; \
from pipelines.models.starter.language import language_folder; language_folder(cache_dir())"
ENTRYPOINT ["understudy"]
CMD ["up", "--only", "train-worker"]
