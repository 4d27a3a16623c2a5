"""Measure speed and memory of ``modelgate score``: a million rows against the Starlette example.

python bench/score.py [ROWS]
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
KEY = "mg_the-key-of-the-score-bench"
HEADER = "alcohol,malic_acid,flavanoids,hue,proline,colour,body\n"
COMMAND = "from modelgate.cli import main; main()"


def main(rows: int) -> None:
    """Score *rows* rows and print the figures."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = {**os.environ, "MODELGATE_DEMO_KEY": KEY, "PORT": str(port)}
    server = subprocess.Popen(
        [sys.executable, "-m", "examples.starlette_app"],
        cwd=ROOT,
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port)
        with tempfile.TemporaryDirectory() as folder:
            _score(Path(folder), rows, port, environ)
    finally:
        server.terminate()
        server.wait()


def _wait_for(port: int) -> None:
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    sys.exit("the example app did not start within 60 seconds")


def _score(folder: Path, rows: int, port: int, environ: dict[str, str]) -> None:
    source = folder / "wines.csv"
    with source.open("w") as file:
        file.write(HEADER)
        file.writelines(f"13.2,1.7,3.0,1.0,{index % 1500},deep,full\n" for index in range(rows))
    url = f"http://127.0.0.1:{port}/ml/wine"
    arguments = ["score", str(source), "--url", url, "--key-env", "MODELGATE_DEMO_KEY", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments],
        cwd=ROOT,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    summary = json.loads(process.stdout.read())
    _, _, usage = os.wait4(process.pid, 0)
    print(
        f"{summary['rows']:,} rows in {summary['seconds']:.1f} s, {summary['rows_per_second']:,} rows/s;"
        f" the command took {usage.ru_utime + usage.ru_stime:.1f} s of CPU and {usage.ru_maxrss / 1000:.0f} MB"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
