"""Settings of gunicorn for a WSGI app with a gate: ``gunicorn --config gunicorn.conf.py app:app``."""

import os

bind = "127.0.0.1:8000"
workers = os.cpu_count()
worker_class = "gthread"
threads = 8

# Models that are loaded on import are in memory once.
preload_app = True
raw_env = ["OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1"]

# Longer than the gate's deadline, so that the gate answers before gunicorn ends a worker.
timeout = 60
graceful_timeout = 35

# Longer than nginx keeps an idle connection, so that nginx sends no request on a closed one.
keepalive = 65
