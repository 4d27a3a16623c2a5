"""boto3's client of the SageMaker runtime, with the gate as endpoint_url."""

import json
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import ClientError

from support.servers import KEY, WINE, Server, run_server
from support.waiting import SOON

CSV = ",".join(WINE) + "\n" + ",".join(map(str, WINE.values())) + "\n"


def make_client(url: str, key: str = KEY, **options: Any) -> BaseClient:
    """Return a client as its users make it. A hook adds the key, which SageMaker has no option for."""
    unsigned = {"signature_version": UNSIGNED} if not options else {}
    config = Config(proxies={}, connect_timeout=SOON, read_timeout=SOON, **unsigned)
    client = boto3.client(
        "sagemaker-runtime", endpoint_url=url, region_name="eu-west-1", config=config, **options
    )
    client.meta.events.register(
        "before-send.sagemaker-runtime", lambda request, **_: request.headers.update({"x-api-key": key})
    )
    return client


@pytest.fixture(scope="module")
def rejecting(tmp_path_factory: pytest.TempPathFactory) -> Any:
    command = ["-m", "uvicorn", "refusing_app:app", "--app-dir", "tests/servers", "--port", "PORT"]
    with run_server("refusing", command, tmp_path_factory.mktemp("refusing")) as running:
        yield running


def invoke(client: Any, name: str, body: object, **options: str) -> Any:
    content = body if isinstance(body, str) else json.dumps(body)
    answer = client.invoke_endpoint(EndpointName=name, Body=content.encode(), **options)
    return answer["ContentType"], answer["Body"].read().decode()


@pytest.mark.parametrize(
    "options",
    [{}, {"aws_access_key_id": "AKID", "aws_secret_access_key": "secret"}],
    ids=["unsigned", "signed"],
)
def test_json(server: Server, options: dict[str, str]) -> None:
    """Signed and unsigned, with and without a content type."""
    client = make_client(f"http://127.0.0.1:{server.port}/ml", **options)
    one = invoke(client, "wine", {"instances": [WINE]}, ContentType="application/json")
    many = invoke(client, "wine", {"dataframe_records": [WINE] * 500})

    assert one == ("application/json", '{"predictions":["cultivar-1"]}')
    assert json.loads(many[1]) == {"predictions": ["cultivar-1"] * 500}


def test_csv(server: Server) -> None:
    """Like SageMaker's own containers, except for the header line."""
    client = make_client(f"http://127.0.0.1:{server.port}/ml")
    answer = invoke(client, "wine", CSV, ContentType="text/csv", Accept="text/csv")

    assert answer == ("text/csv; charset=utf-8", "cultivar-1\n")


@pytest.mark.parametrize(
    ("status", "message", "key", "name", "body"),
    [
        (400, "missing input data", KEY, "wine", {"instances": [{}]}),
        (401, "Invalid API key", "wrong", "wine", {"instances": [WINE]}),
        (404, "could not be found", KEY, "cellar", {"instances": [WINE]}),
    ],
)
def test_errors_are_raised_with_status_and_message(
    server: Server, status: int, message: str, key: str, name: str, body: object
) -> None:
    with pytest.raises(ClientError) as info:
        invoke(make_client(f"http://127.0.0.1:{server.port}/ml", key), name, body)

    assert status == info.value.response["ResponseMetadata"]["HTTPStatusCode"]
    assert message in info.value.response["Error"]["Message"]


@pytest.mark.parametrize("name", ["limited", "busy"])
def test_client_retries_429_and_503(rejecting: Server, name: str) -> None:
    client = make_client(f"http://127.0.0.1:{rejecting.port}")
    answer = client.invoke_endpoint(EndpointName=name, Body=b'{"instances": [1.5]}')

    assert answer["Body"].read() == b'{"predictions":[1.5]}'
    assert answer["ResponseMetadata"]["RetryAttempts"] == 1
