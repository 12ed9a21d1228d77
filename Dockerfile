# Two images from one file:
#   docker build --target serve -t closecast:serve .   answers forecasts; no torch inside
#   docker build --target train -t closecast:train .   a superset: trains, and serves too
FROM python:3.11-slim AS base
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PATH=/opt/closecast/bin:$PATH
WORKDIR /app

FROM base AS build
# The base's pip installs into the environment, which carries none of its own.
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_PYTHON=/opt/closecast
RUN python -m venv --without-pip /opt/closecast
# For the inner loops of drift; the images carry what it makes, not the compiler.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
COPY pyproject.toml README.md constraints.txt ./
COPY src ./src
COPY api ./api
COPY scripts ./scripts
# Left out: tests, and the library for C programs beside ONNX Runtime's module. The last line
# is what breaks first when the server needs something that only training installs.
RUN pip install -c constraints.txt ".[s3,postgres]" \
    && find /opt/closecast -type d -name tests -prune -exec rm -r {} + \
    && rm -f /opt/closecast/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so* \
    && python -I -c "import api.main, closecast.cli.main, onnxruntime" \
    && python -I -c "from closecast.drift import native; assert native.loaded"

FROM build AS build-train
# Set to PyTorch's CPU index outside: the default wheel brings gigabytes of CUDA along.
ARG TORCH_INDEX_URL=
RUN pip install ${TORCH_INDEX_URL:+--index-url $TORCH_INDEX_URL} torch==2.13.0 \
    && pip install -c constraints.txt ".[train,s3,postgres]" \
    && find /opt/closecast -type d -name tests -prune -exec rm -r {} + \
    && cd /opt/closecast/lib/python3*/site-packages \
    && rm -rf torch/test torch/include torch/bin/*[tT]est* torch/bin/protoc* onnx/backend/test \
    && python -I -c "import mlflow, onnx, pytorch_lightning, closecast.pipeline"

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
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['CLOSECAST_PORT']), timeout=2); c.request('GET', '/health/live'); sys.exit(c.getresponse().status != 200)"]
CMD ["closecast", "serve"]

FROM runtime AS train
COPY --from=build-train /opt/closecast /opt/closecast

FROM runtime AS serve
COPY --from=build /opt/closecast /opt/closecast
