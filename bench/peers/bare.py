"""Bare server: Starlette and msgspec, without keys, limits or validation errors."""

import msgspec
from shared import COLUMNS, ROW, score
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

Row = msgspec.defstruct(
    "Row",
    [(f"f{index}", type(ROW[name])) for index, name in enumerate(COLUMNS)],
    rename={f"f{index}": name for index, name in enumerate(COLUMNS)},
)
DECODER = msgspec.json.Decoder(Row | list[Row])


async def predict(request):
    rows = DECODER.decode(await request.body())
    rows = rows if isinstance(rows, list) else [rows]
    answer = score([dict(zip(COLUMNS, msgspec.structs.astuple(row), strict=True)) for row in rows])
    return Response(msgspec.json.encode(answer), media_type="application/json")


async def live(request):
    return Response(b"{}", media_type="application/json")


app = Starlette(routes=[Route("/predict", predict, methods=["POST"]), Route("/health/live", live)])
