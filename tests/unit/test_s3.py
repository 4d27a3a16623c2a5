"""``modelgate score`` from and to S3, which moto's server stands in for."""

import pytest

from modelgate import Deployment, Gate, Schema
from support.scoring import score_command

boto3, moto_server = pytest.importorskip("boto3"), pytest.importorskip("moto.server")
pytest.importorskip("s3fs")
pytestmark = pytest.mark.slow

ROWS = b"id,age\n" + b"".join(b"%d,%d\n" % (row, row) for row in range(99)) + b"99,old\n"
OUTPUT = "id,prediction\n" + "".join(f"{row},{2.0 * row}\n" for row in range(99)) + '99,""\n'


@pytest.fixture(scope="module")
def endpoint():
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(endpoint, monkeypatch):
    """A client of the server, which has the bucket *rows* with the input."""
    settings = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in {**settings, "AWS_ENDPOINT_URL": endpoint}.items():
        monkeypatch.setenv(name, value)
    s3 = boto3.client("s3", endpoint_url=endpoint)
    s3.create_bucket(Bucket="rows")
    s3.put_object(Bucket="rows", Key="in/big.csv", Body=ROWS)
    return s3


def read(s3, key):
    return s3.get_object(Bucket="rows", Key=key)["Body"].read().decode()


def list_keys(s3):
    return [found["Key"] for found in s3.list_objects_v2(Bucket="rows")["Contents"]]


def test_rows_in_s3_are_scored_to_s3(s3, monkeypatch, tmp_path):
    """A stopped run is resumed, and uploads nothing before it is complete."""
    monkeypatch.chdir(tmp_path)
    gate = Gate([Deployment("d", lambda table: table["age"] * 2, schema=Schema.of(age=float))], keys="open")
    run = score_command(monkeypatch, gate)
    command = ["s3://rows/in/big.csv", "-o", "s3://rows/out/scored.csv", "--keep", "id", "--rows", "10"]
    run(*command, "--in-flight", "1", answers=3, code=2)
    assert ["in/big.csv"] == list_keys(s3)
    run(*command)

    assert ["in/big.csv", "out/scored.csv", "out/scored.errors.csv"] == list_keys(s3)
    assert OUTPUT == read(s3, "out/scored.csv")
    assert 'line,reason,row\n101,age must be a number,"99,old"\n' == read(s3, "out/scored.errors.csv")
    assert "already exists" in run(*command, code=2)
    assert "s3://rows/none.csv does not exist" in run("s3://rows/none.csv", "-o", "out.csv", code=2)
    assert [] == list(tmp_path.iterdir())
