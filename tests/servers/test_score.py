"""``modelgate score`` over a million rows, asked of an example app as its users start it."""

import itertools
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.serving import KEY, ROOT, WINE, Server, serving

ROWS = 1_000_000
MEGABYTES = 300

# Ends with how much memory it had at most, in kB: of Linux, for what getrusage tells begins with the parent's.
RUN = """
import pathlib, re, sys
from modelgate.cli import main
try:
    main()
finally:
    status = pathlib.Path("/proc/self/status")
    told = re.findall("VmHWM:\\s+([0-9]+)", status.read_text()) if status.exists() else [0]
    print("peak", *told, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    command = ["-m", "uvicorn", "app:app", "--app-dir", "examples/starlette_app", "--port", "PORT"]
    with serving("score", command, tmp_path_factory.mktemp("score")) as running:
        yield running


@pytest.fixture(scope="module")
def wines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A million wines, no two of them alike: the later, the stronger."""
    path = tmp_path_factory.mktemp("wines") / "wines.csv"
    forms = ["{},1.71,3.06,1.04,700,deep,full\n", '{},"1.71",3.06,1.04,700,light,light\n']
    with path.open("w") as file:
        file.write(",".join(WINE) + "\n")
        file.writelines(
            form.format(alcohol(at)) for at, form in zip(range(ROWS), itertools.cycle(forms), strict=False)
        )
    return path


def alcohol(row: int) -> float:
    return 11 + 4 * row / ROWS


def command(server: Server, wines: Path, output: Path) -> "subprocess.Popen[str]":
    told = ["score", str(wines), "--to", f"http://127.0.0.1:{server.port}/ml/wine", "--key-env", "THE_KEY"]
    environ = {**os.environ, "THE_KEY": KEY, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", RUN, *told, "-o", str(output)],
        env=environ,
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_million_rows(server: Server, wines: Path, tmp_path: Path) -> None:
    """The result is whole and in order, memory bounded, and progress moves; killed half-way and gone on with,
    it is the same byte for byte.
    """
    output, second = tmp_path / "whole.csv", tmp_path / "killed.csv"
    told, errors = (done := command(server, wines, output)).communicate(timeout=300)
    killed = command(server, wines, second)
    assert killed.stderr is not None
    for line in killed.stderr:
        if re.search(r" [45]\d %", line):
            killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=60)
    left = second.stat().st_size
    _, resumed = (rest := command(server, wines, second)).communicate(timeout=300)

    assert (0, -signal.SIGKILL, 0) == (done.returncode, killed.returncode, rest.returncode), errors + resumed
    assert f"{ROWS:,} rows" in told
    assert 10 == errors.count("rows/s")
    assert int(errors.split()[-1]) < MEGABYTES * 1000
    assert 0 < left < output.stat().st_size
    assert output.read_bytes() == second.read_bytes()
    assert in_order(server, output)


def in_order(server: Server, output: Path) -> bool:
    """Whether there is a line for each row, and every thousandth is what the gate says of that row alone."""
    with output.open("rb") as file:
        lines = file.readlines()[1:]
    assert len(lines) == ROWS
    rows = [{**WINE, "proline": 700, "alcohol": alcohol(at)} for at in range(0, ROWS, 1000)]
    answer = server.post("/ml/deployments/wine/predictions", rows).json()["data"]
    told = [row["predictionValues"][0]["value"] for row in answer]
    assert len(set(told)) == len(told)
    return all(
        abs(float(line.split(b",")[0]) - value) < 1e-12
        for line, value in zip(lines[::1000], told, strict=True)
    )
