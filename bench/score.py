"""Measure speed and memory of ``modelgate score``: a million rows against the Starlette example.

The rows are in a file, then in a pipe. The time is that of the whole command, from its start to its exit.

python bench/score.py [ROWS]
"""

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
    environ = {**os.environ, "MODELGATE_KEY": KEY, "PORT": str(port)}
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
            source = Path(folder, "wines.csv")
            with source.open("w") as file:
                file.write(HEADER)
                file.writelines(f"13.2,1.7,3.0,1.0,{index % 1500},deep,full\n" for index in range(rows))
            url = f"http://127.0.0.1:{port}/ml/wine"
            # The first run, which is not printed, fills the caches of the server and of the file system.
            for name in ("", "file", "pipe", "file", "pipe"):
                _score(name, source, url, environ)
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


def _score(name: str, source: Path, url: str, environ: dict[str, str]) -> None:
    """Score *source* in a run called *name*, which is not printed if it is empty."""
    output = source.with_name("predictions.csv")
    path, arguments = ("-", []) if name == "pipe" else (str(source), ["--overwrite", "-o", str(output)])
    arguments = ["score", path, *arguments, "--url", url, "--key-env", "MODELGATE_KEY", "--json"]
    command = [sys.executable, "-c", COMMAND, *arguments]
    started = time.perf_counter()
    with (
        output.open("wb") as file,
        subprocess.Popen(["cat", source], stdout=subprocess.PIPE) as cat,
        subprocess.Popen(
            command, cwd=ROOT, env=environ, stdin=cat.stdout, stdout=file, stderr=subprocess.DEVNULL
        ) as run,
    ):
        assert cat.stdout is not None
        cat.stdout.close()
        _, status, usage = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    assert run.returncode == 0, run.returncode
    if name:
        rows = source.read_bytes().count(b"\n") - 1
        print(
            f"{name}: {rows:,} rows in {seconds:.1f} s, {rows / seconds:,.0f} rows/s; the command took"
            f" {usage.ru_utime + usage.ru_stime:.1f} s of CPU and {usage.ru_maxrss / 1000:.0f} MB"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
