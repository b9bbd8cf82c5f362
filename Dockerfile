# One image for all roles, `prepare` and `job`. image.lock, what is in it, is written by `python -m tests.image`; the engines have images of their own.
FROM python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d AS build
WORKDIR /build
RUN python -m venv /opt/campaigns
# The dependencies first: they change rarely, so their layer is kept.
COPY image.lock .
RUN /opt/campaigns/bin/pip install --no-cache-dir --no-deps --require-hashes -r image.lock
COPY pyproject.toml README.md ./
COPY streams streams
COPY tables tables
COPY connectors connectors
COPY agents agents
COPY api api
# The base has setuptools; what runs has neither that nor pip.
RUN pip wheel --no-deps --no-build-isolation --wheel-dir wheel . && /opt/campaigns/bin/pip install --no-cache-dir --no-deps wheel/*.whl && /opt/campaigns/bin/pip uninstall --yes setuptools pip

FROM python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d
COPY --from=build /opt/campaigns /opt/campaigns
ENV PATH=/opt/campaigns/bin:$PATH
RUN useradd --system campaigns
USER campaigns
ENTRYPOINT ["campaigns"]
