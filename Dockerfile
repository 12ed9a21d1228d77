# Two images from one file:
#   docker build --target serve -t closecast:serve .   answers forecasts; no torch inside
#   docker build --target train -t closecast:train .   a superset: trains, and serves too
FROM python:3.11-slim AS base
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PATH=/opt/closecast/bin:$PATH
WORKDIR /app

FROM base AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/closecast
COPY pyproject.toml README.md constraints.txt ./
COPY src ./src
COPY api ./api
COPY scripts ./scripts
RUN pip install -c constraints.txt ".[s3,postgres]"

FROM build AS build-train
# Set to PyTorch's CPU index outside: the default wheel brings gigabytes of CUDA along.
ARG TORCH_INDEX_URL=
RUN pip install ${TORCH_INDEX_URL:+--index-url $TORCH_INDEX_URL} torch==2.13.0 \
    && pip install -c constraints.txt ".[train,s3,postgres]"

FROM base AS runtime
ARG GIT_COMMIT=
ENV CLOSECAST_HOST=0.0.0.0 \
    CLOSECAST_PORT=8000 \
    CLOSECAST_GIT_COMMIT=$GIT_COMMIT
RUN useradd --create-home --uid 10001 closecast \
    && mkdir -p models data mlruns results \
    && chown -R closecast:closecast /app
USER closecast
VOLUME ["/app/models", "/app/data", "/app/mlruns", "/app/results"]
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"CLOSECAST_PORT\"]}/health/live', timeout=2)"]
CMD ["closecast", "serve"]

FROM runtime AS train
COPY --from=build-train /opt/closecast /opt/closecast

FROM runtime AS serve
COPY --from=build /opt/closecast /opt/closecast
