"""Typical Flask app: a key check in a hook, Flask-Limiter."""

import secrets

from flask import Flask, abort, jsonify, request
from flask_limiter import Limiter
from shared import COLUMNS, KEY, LIMITS, score

app = Flask(__name__)
limiter = Limiter(lambda: request.headers.get("x-api-key", ""), app=app, storage_uri="memory://")


@app.before_request
def check_key():
    if not secrets.compare_digest(request.headers.get("x-api-key", ""), KEY):
        abort(401)


@app.post("/predict")
@limiter.limit(";".join(LIMITS))
def predict():
    rows = request.get_json()
    rows = rows if isinstance(rows, list) else [rows]
    missing = [name for row in rows for name in COLUMNS if name not in row]
    if missing:
        abort(400, f"missing columns: {missing}")
    return jsonify(score(rows))
