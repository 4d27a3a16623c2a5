"""One limit, counted by several servers in one Redis."""

import collections
from concurrent.futures import ThreadPoolExecutor

from servers.serving import BEARER, PREDICT, ROOT, serving

LIMIT = 200

APP = """
import os
from modelgate import Deployment, Gate, RateLimit, Schema

# A machine that is busy with other things shall not pass for a silent Redis.
limit = RateLimit("{limit}/hour", storage="{uri}?socket_timeout=10&socket_connect_timeout=10")
deployment = Deployment("price", lambda table: table["age"], schema=Schema.of(age=float))
gate = Gate([deployment], keys={{os.environ["MODELGATE_DEMO_KEY"]: "price"}}, limits=limit)
wsgi, asgi = gate.wsgi, gate.asgi
"""


def test_four_workers_and_an_asgi_app_share_one_limit(redis_server, tmp_path):
    """Of twice as many requests exactly the limit passes, wherever they arrive."""
    (tmp_path / "shared.py").write_text(APP.format(limit=LIMIT, uri=redis_server.uri))
    gunicorn = ["-m", "gunicorn", "shared:wsgi", "--workers", "4", "--chdir", str(tmp_path), "--bind"]
    uvicorn = ["-m", "uvicorn", "shared:asgi", "--app-dir", str(tmp_path), "--port", "PORT"]
    with (
        serving("workers", [*gunicorn, "127.0.0.1:PORT"], tmp_path, cwd=ROOT) as workers,
        serving("loop", uvicorn, tmp_path, cwd=ROOT) as loop,
        ThreadPoolExecutor(16) as pool,
    ):
        path = PREDICT.removeprefix("/ml")

        def ask(at):
            server = (workers, loop)[at % 3 == 0]
            return server.post(path, {"input_data": {"age": at}}, BEARER).status

        told = collections.Counter(pool.map(ask, range(2 * LIMIT)))

    assert {200: LIMIT, 429: LIMIT} == told
