"""Gate behind a proxy on the same machine, as WSGI and as ASGI app with a prefix."""

from modelgate import Deployment, Gate, RateLimit, Schema, mount

gate = Gate(
    [Deployment("m", lambda table: table["a"], schema=Schema.of(a=float))],
    keys={"mg_the-key-of-the-server-tests": "m"},
    limits=[RateLimit("3/hour", by="address", charge_when=lambda response: response.status == 200)],
    trusted_proxies=["127.0.0.1"],
)
gate.deployments.warm()


def no_page(environ, start_response):
    start_response("404 Not Found", [])
    return []


wsgi = mount.wsgi.mount(no_page, "/ml", gate)
