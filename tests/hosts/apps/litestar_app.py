from litestar import Litestar, MediaType, Request, Response, get, post
from served_gate import gate


@get("/about", media_type=MediaType.TEXT, sync_to_thread=False)
def about() -> str:
    return "the host"


@post("/double")
async def double(request: Request) -> Response:
    return await gate.handle(request, "double")


app = Litestar([about, double], logging_config=None)
gate.mount(app, "/ml")
