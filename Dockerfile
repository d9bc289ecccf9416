# The application: the API, consumers, loaders and the job that migrates, all by the `telestream` command.
FROM node:24.11.1-trixie-slim AS pages
WORKDIR /pages
COPY graphql/web/package.json graphql/web/package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY graphql/web/build.mjs ./
COPY graphql/web/src ./src
RUN node build.mjs

FROM python:3.13.12-slim-trixie AS packages
RUN python -m venv /app/.venv
WORKDIR /app
COPY requirements-runtime.lock ./
RUN .venv/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements-runtime.lock \
    && .venv/bin/pip install --no-cache-dir "setuptools>=77"
COPY . .
RUN .venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation --editable . \
    && .venv/bin/pip uninstall --yes setuptools \
    && .venv/bin/python -m compileall -q db loaders consumers graphql grafana migrations src
COPY --from=pages /pages/dist graphql/web/dist

FROM python:3.13.12-slim-trixie
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="TeleStream Insights Hub" \
      org.opencontainers.image.description="Telecom data in TimescaleDB: loaders, consumers, GraphQL API" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
# For `telestream backup`: pg_dump of the database's version.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends postgresql-client-17 \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin telestream
COPY --from=packages /app /app
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TELESTREAM_CACHE_DIR=/tmp/cache \
    TELESTREAM_STATE_DIR=/tmp/state \
    HEALTH_URL=http://127.0.0.1:8080/healthz
# By number, so that Kubernetes can see that it is not root. Nothing is written but below /tmp.
USER 10001:10001
WORKDIR /tmp
EXPOSE 8080
# Of the API; for a consumer set HEALTH_URL to its /healthz.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import os, urllib.request as http; http.urlopen(os.environ['HEALTH_URL'], timeout=4)"]
ENTRYPOINT ["telestream"]
CMD ["api", "serve", "--host", "0.0.0.0"]
