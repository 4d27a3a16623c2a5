from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse
from served_gate import gate

app = FastAPI()
gate.mount(app, "/ml")


@app.get("/about", response_class=PlainTextResponse)
def about():
    return "the host"


@app.post("/double")
async def double(request: Request):
    return await gate.handle(request, "double")
