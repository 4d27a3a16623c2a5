"""Server without a model: an ASGI app that decodes the row with msgspec and answers."""

import msgspec

DECODER = msgspec.json.Decoder(dict[str, float])
ANSWER = {"prediction": 1, "confidence": 0.9731}


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    DECODER.decode((await receive())["body"])
    body = msgspec.json.encode(ANSWER)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
