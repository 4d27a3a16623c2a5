import falcon.asgi
from served_gate import gate

from modelgate import mount


class About:
    async def on_get(self, req, resp):
        resp.content_type, resp.text = falcon.MEDIA_TEXT, "the host"


class Double:
    async def on_post(self, req, resp):
        await gate.handle(req, "double", response=resp)


host = falcon.asgi.App()
host.add_route("/about", About())
host.add_route("/double", Double())
app = mount.asgi.mount(host, "/ml", gate)
