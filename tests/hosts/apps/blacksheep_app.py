from blacksheep import Application, Request, text
from served_gate import gate

app = Application()
gate.mount(app, "/ml")


@app.router.get("/about")
async def about():
    return text("the host")


@app.router.post("/double")
async def double(request: Request):
    return await gate.handle(request, "double")
