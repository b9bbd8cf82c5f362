FROM python:3.11-slim
WORKDIR /app
# The dependencies first: they change rarely, so their layer is kept. One lock for all purposes, so the local engines come along unused.
COPY requirements.lock .
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md ./
COPY streams streams
COPY tables tables
COPY connectors connectors
COPY agents agents
COPY api api
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable . && useradd --system campaigns
USER campaigns
ENTRYPOINT ["campaigns"]
