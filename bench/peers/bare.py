"""The floor: Starlette and msgspec, and nothing else. Of ours it has neither key nor limits nor the report."""

import msgspec
from shared import COLUMNS, ROW, score
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

Row = msgspec.defstruct(
    "Row",
    [(f"f{at}", type(ROW[name])) for at, name in enumerate(COLUMNS)],
    rename={f"f{at}": name for at, name in enumerate(COLUMNS)},
)
DECODER = msgspec.json.Decoder(Row | list[Row])


async def predict(request):
    rows = DECODER.decode(await request.body())
    rows = rows if isinstance(rows, list) else [rows]
    told = score([dict(zip(COLUMNS, msgspec.structs.astuple(row), strict=True)) for row in rows])
    return Response(msgspec.json.encode(told), media_type="application/json")


async def live(request):
    return Response(b"{}", media_type="application/json")


app = Starlette(routes=[Route("/predict", predict, methods=["POST"]), Route("/health/live", live)])
