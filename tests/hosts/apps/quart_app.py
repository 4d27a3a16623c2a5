from quart import Quart, request
from served_gate import gate

app = Quart(__name__)
gate.mount(app, "/ml")


@app.get("/about")
async def about():
    return "the host"


@app.post("/double")
async def double():
    return await gate.handle(request, "double")
