from sanic import Sanic, text
from served_gate import gate

from modelgate import mount

host = Sanic("host")


@host.get("/about")
async def about(request):
    return text("the host")


@host.post("/double")
async def double(request):
    return await gate.handle(request, "double")


app = mount.asgi.mount(host, "/ml", gate)
