"""What every mount makes of bodies that do not end, whose requests have no accepted key yet."""

import asyncio
import threading

import pytest

from modelgate import AuthFailureLimit, Deadline, KeyAuth
from support.keys import KEY
from support.mounts import Mounted, make_gate
from support.waiting import SOON

BEGINNING = b'{"input_data": {'


class Caller:
    """Caller that sends the beginning of a body and never the rest, in a thread of its own."""

    def __init__(self, mounted, address="192.0.2.1", **headers):
        self.reading, self.gone, self.status = threading.Event(), threading.Event(), None
        fields = {"content-type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
        send = self._ask_asgi if mounted.client._asgi else self._ask_wsgi
        path, app = f"{mounted.prefix}/api/predict", mounted.client._app
        self._thread = threading.Thread(target=send, args=(app, path, address, fields))
        self._thread.start()

    def answered(self):
        """The status of the answer, for which the caller waits."""
        self._thread.join(SOON)
        assert not self._thread.is_alive()
        return self.status

    def leave(self):
        self.gone.set()
        return self.answered()

    def _ask_asgi(self, app, path, address, fields):
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in fields.items()],
            "client": (address, 1),
        }
        pieces = [BEGINNING]

        async def receive():
            if pieces:
                return {"type": "http.request", "body": pieces.pop(), "more_body": True}
            self.reading.set()
            while not self.gone.is_set():
                await asyncio.sleep(0.005)
            return {"type": "http.disconnect"}

        async def send(message):
            self.status = message.get("status", self.status)

        asyncio.run(app(scope, receive, send))

    def _ask_wsgi(self, app, path, address, fields):
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": path,
            "SERVER_NAME": "testserver",
            "SERVER_PORT": "80",
            "REMOTE_ADDR": address,
            "wsgi.url_scheme": "http",
            "wsgi.input": self,
            "CONTENT_LENGTH": "1000",
            **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in fields.items()},
        }

        def start_response(status, headers):
            self.status = int(status[:3])

        for _ in app(environ, start_response):
            pass

    def read(self, size):
        """As ``wsgi.input``."""
        self.reading.set()
        self.gone.wait(SOON)
        return BEGINNING


@pytest.fixture
def callers():
    """Return a function that starts callers; all of them disconnect after the test."""
    started = []

    def caller(*args, **options):
        started.append(Caller(*args, **options))
        return started[-1]

    yield caller
    for one in started:
        one.leave()


def test_bodies_without_keys_are_limited_by_address(mount, wine, wine_row, callers):
    """One body too many gets 503. A key in a header is not affected."""
    gate = make_gate(
        wine, keys=None, layers=[AuthFailureLimit("9/day"), KeyAuth({KEY: "wine"}, max_bodies=4)]
    )
    mounted = Mounted(mount, gate)
    first = callers(mounted)
    assert first.reading.wait(SOON)
    second = callers(mounted).answered()
    other = callers(mounted, "192.0.2.2")
    wrong = callers(mounted, x_api_key="wrong" * 4).answered()
    named = mounted.post("/api/predict", json={"input_data": wine_row}, headers={"x-api-key": KEY})

    assert [503, 401, 200] == [second, wrong, named.status]
    assert other.reading.wait(SOON)
    assert 400 == first.leave()
    # The slot is free again.
    assert callers(mounted).reading.wait(SOON)


@pytest.mark.slow
@pytest.mark.parametrize("mount", ["asgi", "starlette", "fastapi"])
@pytest.mark.parametrize(
    "layers",
    [
        [AuthFailureLimit, lambda: KeyAuth({KEY: "wine"}, body_timeout=0.05)],
        [lambda: Deadline(0.05), AuthFailureLimit, lambda: KeyAuth({KEY: "wine"})],
    ],
)
def test_bodies_that_time_out_count_as_auth_failures(mount, wine, callers, layers):
    """Both for the body's own time limit and for the deadline of the request."""
    made = [layer("1/day") if layer is AuthFailureLimit else layer() for layer in layers]
    mounted = Mounted(mount, make_gate(wine, keys=None, layers=made))

    assert [401, 429] == [callers(mounted).answered() for _ in range(2)]
