"""``modelgate score`` with a million rows, against an example app."""

import gzip
import itertools
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.servers import KEY, ROOT, WINE, Server, run_server
from support.waiting import SOON

ROWS = 1_000_000
KILLED_ROWS = 250_000
MEGABYTES = 300

# Prints the peak memory in kB at the end. From /proc, because getrusage includes the memory of the parent.
RUN = """
import pathlib, re, sys
from modelgate.cli import main
try:
    main()
finally:
    status = pathlib.Path("/proc/self/status")
    peak = re.findall("VmHWM:\\s+([0-9]+)", status.read_text()) if status.exists() else [0]
    print("peak", *peak, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    command = ["-m", "uvicorn", "app:app", "--app-dir", "examples/starlette_app", "--port", "PORT"]
    with run_server("score", command, tmp_path_factory.mktemp("score")) as running:
        yield running


@pytest.fixture(scope="module")
def wines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a million different wines, with increasing alcohol."""
    path = tmp_path_factory.mktemp("wines") / "wines.csv"
    forms = ["{},1.71,3.06,1.04,700,deep,full\n", '{},"1.71",3.06,1.04,700,light,light\n']
    with path.open("w") as file:
        file.write(",".join(WINE) + "\n")
        file.writelines(
            form.format(alcohol_of(row))
            for row, form in zip(range(ROWS), itertools.cycle(forms), strict=False)
        )
    return path


def alcohol_of(row: int) -> float:
    return 11 + 4 * row / ROWS


def start_score(server: Server, wines: Path, output: Path, *options: str) -> "subprocess.Popen[str]":
    arguments = [
        "score",
        str(wines),
        "--url",
        f"http://127.0.0.1:{server.port}/ml/wine",
        "--key-env",
        "THE_KEY",
        *options,
    ]
    environ = {**os.environ, "THE_KEY": KEY, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", RUN, *arguments, "-o", str(output)],
        env=environ,
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_score_million_rows_with_bounded_memory_and_resume_after_kill(
    server: Server, wines: Path, tmp_path: Path
) -> None:
    """The run that is killed has the first rows of the other."""
    output, first, second = tmp_path / "whole.csv", tmp_path / "first.csv", tmp_path / "killed.csv"
    with wines.open() as file:
        first.write_text("".join(itertools.islice(file, KILLED_ROWS + 1)))
    summary, errors = (done := start_score(server, wines, output)).communicate(timeout=SOON)
    killed = start_score(server, first, second)
    assert killed.stderr is not None
    for line in killed.stderr:
        if re.search(r" [45]\d %", line):
            killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=SOON)
    size_when_killed = second.stat().st_size
    _, resumed = (rest := start_score(server, first, second)).communicate(timeout=SOON)
    with output.open("rb") as file:
        expected = b"".join(itertools.islice(file, KILLED_ROWS + 1))

    assert (0, -signal.SIGKILL, 0) == (done.returncode, killed.returncode, rest.returncode), errors + resumed
    assert f"{ROWS:,} rows" in summary
    assert 10 == errors.count("rows/s")
    assert int(errors.split()[-1]) < MEGABYTES * 1000
    assert 0 < size_when_killed < len(expected)
    assert expected == second.read_bytes()
    assert check_order(server, output)


def test_score_in_a_pipe_of_the_shell(server: Server, wines: Path, tmp_path: Path) -> None:
    """With a column of the input, between other programs, and with the output of a run over a file."""
    small = tmp_path / "small.csv"
    with wines.open() as file:
        small.write_text("".join(itertools.islice(file, 2001)) + "strong,1.71,3.06,1.04,700,deep,full\n")
    (
        done := start_score(server, small, tmp_path / "small.predictions.csv", "--keep", "alcohol")
    ).communicate()
    score = f'"{sys.executable}" -c "from modelgate.cli import main; main()" score - --keep alcohol'
    url = f"http://127.0.0.1:{server.port}/ml/wine"
    command = f"gzip -c '{small}' | {score} --url {url} --key-env THE_KEY | gzip -c; exit ${{PIPESTATUS[1]}}"
    piped = subprocess.run(
        ["bash", "-c", command],
        env={**os.environ, "THE_KEY": KEY},
        cwd=ROOT,
        capture_output=True,
        timeout=SOON,
    )

    assert (1, 1) == (done.returncode, piped.returncode), piped.stderr
    assert gzip.decompress(piped.stdout) == (tmp_path / "small.predictions.csv").read_bytes()
    assert b"alcohol must be a number" in piped.stderr
    assert b"standard output: 2,001 rows" in piped.stderr


def start_pipe(server: Server, key: str) -> "subprocess.Popen[bytes]":
    arguments = ["-", "--rows", "2", "--url", f"http://127.0.0.1:{server.port}/ml/wine", "--key-env", "KEY"]
    return subprocess.Popen(
        [sys.executable, "-c", "from modelgate.cli import main; main()", "score", *arguments],
        env={**os.environ, "KEY": key},
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_answers_come_before_the_input_ends(server: Server, wines: Path) -> None:
    with wines.open("rb") as file:
        header, *rows = itertools.islice(file, 6)
    with start_pipe(server, KEY) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(header + b"".join(rows[:2]))
        process.stdin.flush()
        first = [process.stdout.readline() for _ in range(3)]
        output, _ = process.communicate(b"".join(rows[2:]), timeout=SOON)

    assert first[0].startswith(b"prediction,")
    assert 3 == output.count(b"\n")
    assert 0 == process.returncode


def test_command_ends_at_an_error_although_the_input_is_open(server: Server, wines: Path) -> None:
    with wines.open("rb") as file:
        lines = list(itertools.islice(file, 3))
    with start_pipe(server, "mg_an-unknown-key-of-the-score-tests") as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(b"".join(lines))
        process.stdin.flush()

        assert 3 == process.wait(SOON)
        assert b"Invalid API key" in process.stderr.read()


def check_order(server: Server, output: Path) -> bool:
    """Return whether there is a line per row, and every thousandth equals the prediction of that row alone."""
    with output.open("rb") as file:
        lines = file.readlines()[1:]
    assert len(lines) == ROWS
    rows = [{**WINE, "proline": 700, "alcohol": alcohol_of(row)} for row in range(0, ROWS, 1000)]
    answer = server.post("/ml/deployments/wine/predict", rows).json()["predictions"]
    predictions = [next(iter(row["probabilities"].values())) for row in answer]
    assert len(set(predictions)) == len(predictions)
    return all(
        abs(float(line.split(b",")[1]) - value) < 1e-12
        for line, value in zip(lines[::1000], predictions, strict=True)
    )
