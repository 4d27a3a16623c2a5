import falcon
from served_gate import gate

from modelgate import mount


class About:
    def on_get(self, req, resp):
        resp.content_type, resp.text = falcon.MEDIA_TEXT, "the host"


class Double:
    def on_post(self, req, resp):
        gate.handle(req, "double", response=resp)


host = falcon.App()
host.add_route("/about", About())
host.add_route("/double", Double())
app = mount.wsgi.mount(host, "/ml", gate)
