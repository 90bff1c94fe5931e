# One image for web and worker:
#   docker run … kikaku                            the web server on $PORT
#   docker run … kikaku python manage.py worker    the jobs

# TO PIN before the first release: a tag can be replaced by another image, a digest cannot. Where this was written no registry
# could be asked for it. `docker buildx imagetools inspect python:3.11-slim` prints it; write it here, and again with each
# update of the packages:  ARG PYTHON_IMAGE=python:3.11-slim@sha256:…
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS build
WORKDIR /app
COPY requirements.txt .
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements.txt
COPY . .
RUN for po in */locale/*/LC_MESSAGES/django.po; do \
        /venv/bin/pybabel --quiet compile --input-file "$po" --output-file "${po%.po}.mo"; \
    done \
    # development here only lets the settings load without secrets; the image itself says production below
    && ENVIRONMENT=development /venv/bin/python manage.py collectstatic --noinput --verbosity 0

FROM ${PYTHON_IMAGE}
RUN useradd --system --uid 10001 --home-dir /app kikaku
WORKDIR /app
COPY --from=build /venv /venv
COPY --from=build /app /app
# after the copy, which brings the folder along as root's
RUN mkdir -p var && chown kikaku var
ENV PATH=/venv/bin:$PATH ENVIRONMENT=production PORT=8000 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    WORKER_HEARTBEAT_FILE=/tmp/worker-heartbeat
USER kikaku
EXPOSE 8000
STOPSIGNAL SIGTERM
# A worker by its heartbeat; else the web server by /health, with the shop's own host name, which Django asks for
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD ["python", "scripts/healthcheck.py"]
# on $PORT; it raises its own limit of open files to 5,096 where the container's hard limit allows it
CMD ["python", "-m", "kikaku.server", "--host", "0.0.0.0"]
