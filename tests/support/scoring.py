"""The command ``modelgate score``, with a gate in the same process instead of a server."""

from functools import partial

import click.testing
import httpx

from modelgate.cli.root import cli


def score_command(monkeypatch, gate):
    """Return a function that runs the command with deployment *d* of *gate*, and returns its standard error."""
    original, asgi = httpx.AsyncClient, httpx.ASGITransport(gate.asgi)

    def run(*arguments, answers=1000, code=1):
        """Run the command; the server answers *answers* requests and is gone."""
        sent = []

        class Transport(httpx.AsyncBaseTransport):
            async def handle_async_request(self, request):
                sent.append(request)
                if len(sent) > answers:
                    return httpx.Response(404, text="gone")
                return await asgi.handle_async_request(request)

        monkeypatch.setattr(httpx, "AsyncClient", partial(original, transport=Transport()))
        done = click.testing.CliRunner().invoke(cli, ["score", *arguments, "--url", "http://app/d"])

        assert code == done.exit_code, (done.output, done.exception)
        return done.stderr

    return run
