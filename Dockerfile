# The locked environment, and this checkout: docs/how-to/container.md. Not built by the checks.
FROM python:3.12-slim-bookworm
RUN apt-get update \
 && apt-get install -y --no-install-recommends git make \
 && rm -rf /var/lib/apt/lists/* \
 && git config --system --add safe.directory /wsolbench
WORKDIR /wsolbench
# A layer of its own: a change of the code installs no library again.
COPY requirements.lock ./
RUN python -m venv /opt/venv \
 && /opt/venv/bin/python -m pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock
COPY . .
RUN /opt/venv/bin/python -m pip install --no-cache-dir --no-deps --no-build-isolation -e .
# Outside of the checkout, so that a checkout of the host can be mounted in its place.
ENV PATH=/opt/venv/bin:$PATH
CMD ["wsolbench", "doctor"]
