"""boto3's client of SageMaker's runtime, whose endpoint_url is that of the gate."""

import json
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import ClientError

from servers.serving import KEY, WINE, Server, serving

CSV = ",".join(WINE) + "\n" + ",".join(map(str, WINE.values())) + "\n"


def client_of(url: str, key: str = KEY, **options: Any) -> BaseClient:
    """A client as its users make it; a hook adds the key, for which SageMaker has no place."""
    config = Config(proxies={}, **({"signature_version": UNSIGNED} if not options else {}))
    client = boto3.client(
        "sagemaker-runtime", endpoint_url=url, region_name="eu-west-1", config=config, **options
    )
    client.meta.events.register(
        "before-send.sagemaker-runtime", lambda request, **_: request.headers.update({"x-api-key": key})
    )
    return client


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Any:
    command = ["-m", "uvicorn", "refusing_app:app", "--app-dir", "tests/servers", "--port", "PORT"]
    with serving("refusing", command, tmp_path_factory.mktemp("refusing")) as running:
        yield running


def invoke(client: Any, name: str, body: object, **options: str) -> Any:
    told = body if isinstance(body, str) else json.dumps(body)
    answer = client.invoke_endpoint(EndpointName=name, Body=told.encode(), **options)
    return answer["ContentType"], answer["Body"].read().decode()


@pytest.mark.parametrize(
    "options",
    [{}, {"aws_access_key_id": "AKID", "aws_secret_access_key": "secret"}],
    ids=["unsigned", "signed"],
)
def test_json(server: Server, options: dict[str, str]) -> None:
    """One row and many, whether or not the request is signed, and whether or not it tells its type."""
    client = client_of(f"http://127.0.0.1:{server.port}/ml", **options)
    one = invoke(client, "wine", {"instances": [WINE]}, ContentType="application/json")
    many = invoke(client, "wine", {"dataframe_records": [WINE] * 500})

    assert one == ("application/json", '{"predictions":["cultivar-1"]}')
    assert json.loads(many[1]) == {"predictions": ["cultivar-1"] * 500}


def test_csv(server: Server) -> None:
    """CSV in and out, as SageMaker's own containers speak it, but for the header."""
    client = client_of(f"http://127.0.0.1:{server.port}/ml")
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
def test_errors(server: Server, status: int, message: str, key: str, name: str, body: object) -> None:
    """A refusal is a ClientError with its status and its words."""
    with pytest.raises(ClientError) as info:
        invoke(client_of(f"http://127.0.0.1:{server.port}/ml", key), name, body)

    assert status == info.value.response["ResponseMetadata"]["HTTPStatusCode"]
    assert message in info.value.response["Error"]["Message"]


@pytest.mark.parametrize("name", ["limited", "busy"])
def test_retries(refusing: Server, name: str) -> None:
    """After a 429, and after a 503, the client asks again and is answered."""
    client = client_of(f"http://127.0.0.1:{refusing.port}")
    answer = client.invoke_endpoint(EndpointName=name, Body=b'{"instances": [1.5]}')

    assert answer["Body"].read() == b'{"predictions":[1.5]}'
    assert answer["ResponseMetadata"]["RetryAttempts"] == 1
