# The light image, without torch: the studio and the sweeper. From the root of the repository:
#
#   docker build --file docker/studio.Dockerfile --tag understudy-studio:0.1.0 .

FROM python:3.11.15-slim-bookworm@sha256:d29f48a31a8b408ed19272ca1e7b10ebae13b240a27e862d3d4217c528e2e0c3 AS build
RUN python -m venv /opt/understudy
WORKDIR /src
COPY requirements/studio.txt requirements/studio.txt
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/understudy/bin/python -m pip install --no-deps --require-hashes --requirement requirements/studio.txt
COPY pyproject.toml README.md LICENSE ./
COPY pipelines pipelines
COPY studio studio
COPY worker worker
RUN /opt/understudy/bin/python -m pip install --no-deps --no-build-isolation .

FROM python:3.11.15-slim-bookworm@sha256:d29f48a31a8b408ed19272ca1e7b10ebae13b240a27e862d3d4217c528e2e0c3
RUN useradd --uid 10001 --user-group --create-home --home-dir /var/lib/understudy understudy \
    && install -d -o 10001 -g 10001 /var/lib/understudy/tmp
COPY --from=build /opt/understudy /opt/understudy
ENV PATH=/opt/understudy/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    UNDERSTUDY_HOME=/var/lib/understudy \
    STREAMLIT_SERVER_HEADLESS=true \
    STREAMLIT_BROWSER_GATHER_USAGE_STATS=false
USER 10001:10001
WORKDIR /var/lib/understudy
EXPOSE 8501
ENTRYPOINT ["understudy"]
CMD ["up", "--only", "studio"]
