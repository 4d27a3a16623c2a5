from bottle import Bottle, request
from served_gate import gate

app = Bottle()
gate.mount(app, "/ml")


@app.get("/about")
def about():
    return "the host"


@app.post("/double")
def double():
    return gate.handle(request, "double")
