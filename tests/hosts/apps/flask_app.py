from flask import Flask, request
from served_gate import gate

app = Flask(__name__)
gate.mount(app, "/ml")


@app.get("/about")
def about():
    return "the host"


@app.post("/double")
def double():
    return gate.handle(request, "double")
