from served_gate import gate
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def about(request):
    return PlainTextResponse("the host")


async def double(request):
    return await gate.handle(request, "double")


app = Starlette(routes=[Route("/about", about), Route("/double", double, methods=["POST"])])
gate.mount(app, "/ml")
