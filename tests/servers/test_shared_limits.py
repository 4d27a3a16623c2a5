"""A rate limit in Redis, shared by several servers."""

import collections
from concurrent.futures import ThreadPoolExecutor

from support.servers import BEARER, PREDICT, ROOT, run_server

LIMIT = 200

APP = """
import os
from modelgate import Deployment, Gate, RateLimit, Schema

limit = RateLimit("{limit}/hour", storage="{uri}")
deployment = Deployment("price", lambda table: table["age"], schema=Schema.of(age=float))
gate = Gate([deployment], keys={{os.environ["MODELGATE_KEY"]: "price"}}, limits=limit)
wsgi, asgi = gate.wsgi, gate.asgi
"""


def test_redis_limit_is_shared_by_several_servers(redis_server, tmp_path):
    (tmp_path / "shared.py").write_text(APP.format(limit=LIMIT, uri=redis_server.uri))
    gunicorn = ["-m", "gunicorn", "shared:wsgi", "--workers", "4", "--chdir", str(tmp_path), "--bind"]
    uvicorn = ["-m", "uvicorn", "shared:asgi", "--app-dir", str(tmp_path), "--port", "PORT"]
    with (
        run_server("workers", [*gunicorn, "127.0.0.1:PORT"], tmp_path, cwd=ROOT) as workers,
        run_server("loop", uvicorn, tmp_path, cwd=ROOT) as loop,
        ThreadPoolExecutor(16) as pool,
    ):
        path = PREDICT.removeprefix("/ml")

        def send_request(number):
            server = (workers, loop)[number % 3 == 0]
            return server.post(path, {"input_data": {"age": number}}, BEARER).status

        statuses = collections.Counter(pool.map(send_request, range(2 * LIMIT)))

    assert {200: LIMIT, 429: LIMIT} == statuses
