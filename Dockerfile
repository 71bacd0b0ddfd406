# The whole desk in one container; compose.yaml runs it. The packages are those of the lock, by hash.
FROM python:3.11-slim-bookworm

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PITBOSS_HOME=/var/lib/pitboss
WORKDIR /opt/pitboss

# Packages first: they change seldom, and so this layer is kept.
COPY requirements.txt ./
RUN python -m venv .venv && .venv/bin/python -m pip install --no-cache-dir --no-deps --require-hashes --only-binary :all: -r requirements.txt

COPY app.py supervisord.conf LICENSE README.md CHANGELOG.md ./
COPY .streamlit .streamlit
COPY engine engine
COPY pages pages
COPY storage storage
COPY studies studies
RUN .venv/bin/python -m compileall -q engine pages storage studies

# The home is the user's alone; the desk never runs as root.
RUN useradd --system --uid 10001 --no-create-home pitboss && install -d -m 700 -o pitboss -g pitboss /var/lib/pitboss
USER pitboss
VOLUME /var/lib/pitboss

HEALTHCHECK --interval=30s --timeout=10s --start-period=120s --retries=3 CMD [".venv/bin/python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8501/health', timeout=8)"]

# Supervisor stops the engine first; a stop is proven before the container ends (compose waits 120 s).
STOPSIGNAL SIGTERM
CMD [".venv/bin/python", "-m", "engine", "up", "--no-password"]
