"""Compare the full stack under load with a bare server and with other model servers.

The servers run on one core, `wrk` on another. They take turns in every round; figures are the median of the
rounds. Each peer has its own virtual environment below ``.bench/``, created when it is first needed. All of them
take 3 GB, so they run only with PEERS=1. Needs `wrk` and `taskset` (Debian:
wrk, util-linux) and two cores::

    python bench/serve.py            # against bare Starlette and msgspec
    PEERS=1 python bench/serve.py    # against FastAPI, Flask, LitServe, BentoML, MLServer and MLflow too
"""

import contextlib
import http.client
import importlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import sklearn
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

ROOT = Path(__file__).parents[1]
APPS = Path(__file__).parent / "peers"
CACHE = ROOT / ".bench"
ROUNDS, SECONDS = int(os.environ.get("ROUNDS", "5")), 2
PEERS = bool(os.environ.get("PEERS"))
KEY = "a-key-for-the-benchmark"
PINNED = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

UVICORN = ["uvicorn[standard]"]
REQUIREMENTS = {
    "ours": ["-e", f"{ROOT}[sklearn,pandas]", "gunicorn", *UVICORN],
    "fastapi": ["fastapi", "slowapi", *UVICORN],
    "flask": ["flask", "Flask-Limiter", "gunicorn"],
    "litserve": ["litserve"],
    "bentoml": ["bentoml"],
    "mlserver": ["mlserver"],
    "mlflow": ["mlflow"],
}


# ---- requests


def json_rows(rows: Sequence[dict[str, Any]]) -> object:
    """Return one JSON object per row; for a single row, the object itself."""
    return rows[0] if len(rows) == 1 else rows


def tensor_body(rows: Sequence[dict[str, Any]]) -> object:
    """Return a body of the Open Inference Protocol."""
    data = [list(row.values()) for row in rows]
    shape = [len(rows), len(rows[0])]
    return {"inputs": [{"name": "rows", "shape": shape, "datatype": "FP64", "data": data}]}


@dataclass(frozen=True)
class Server:
    """Server to start. *command* runs in *environment*; it has placeholders for a port and a folder."""

    environment: str
    command: Sequence[str]
    path: str = "/predict"
    body: Callable[[Sequence[dict[str, Any]]], object] = json_rows
    options: dict[str, str] = field(default_factory=dict)
    prepare: Sequence[str] = ()


def uvicorn(app: str) -> list[str]:
    """Return the command of uvicorn, with uvloop and httptools."""
    return ["uvicorn", app, "--port", "{port}", "--no-access-log", "--log-level", "warning"]


def gunicorn(app: str) -> list[str]:
    """Return the command of gunicorn, with one process of eight threads."""
    return [
        "gunicorn",
        app,
        "--bind",
        "127.0.0.1:{port}",
        "--threads",
        "8",
        "--timeout",
        "0",
        "--log-level",
        "warning",
    ]


OURS = Server("ours", uvicorn("ours:app"), "/simple/model")
SERVERS = {
    "no model": Server("ours", uvicorn("no_model:app")),
    "bare": Server("ours", uvicorn("bare:app")),
    "ours": OURS,
    "ours, no plan": Server("ours", OURS.command, OURS.path, options={"PLANS": "off"}),
    "ours, no plan, no batch": Server(
        "ours", OURS.command, OURS.path, options={"PLANS": "off", "BATCH": "off"}
    ),
    "ours, no plan, inline": Server(
        "ours", OURS.command, OURS.path, options={"PLANS": "off", "BATCH": "off", "OFFLOAD": "off"}
    ),
    "ours in WSGI": Server("ours", gunicorn("ours:wsgi"), OURS.path),
    "FastAPI + slowapi": Server("fastapi", uvicorn("fastapi_app:app")),
    "Flask + Flask-Limiter": Server("flask", gunicorn("flask_app:app")),
    "LitServe": Server("litserve", ["python", "litserve_app.py", "{port}"]),
    "BentoML": Server(
        "bentoml",
        ["bentoml", "serve", "bentoml_app:Service", "--port", "{port}"],
        body=lambda rows: {"rows": rows},
    ),
    "MLServer": Server(
        "mlserver",
        ["mlserver", "start", "{folder}"],
        "/v2/models/model/infer",
        tensor_body,
        prepare=["python", "mlserver_app.py", "{folder}", "{port}"],
    ),
    "MLflow": Server(
        "mlflow",
        [
            "mlflow",
            "models",
            "serve",
            "--model-uri",
            "{folder}/model",
            "--port",
            "{port}",
            "--env-manager=local",
        ],
        "/invocations",
        lambda rows: {"dataframe_records": rows},
        prepare=["python", "mlflow_app.py", "{folder}/model"],
    ),
}
BATCHING = ["LitServe", "BentoML", "MLServer"]
VARIANTS = ["bare", "ours", "ours, no plan", "ours, no plan, no batch"]


@dataclass(frozen=True)
class Load:
    """Load on *servers*: number of connections, and rows per request."""

    servers: Sequence[str]
    connections: int = 64
    rows: int = 1


LOADS = {
    "logistic": [
        Load(list(SERVERS) if PEERS else ["no model", *VARIANTS, "ours, no plan, inline", "ours in WSGI"]),
        Load(VARIANTS[2:], 1),
        Load(VARIANTS[:2], 8, 100),
    ],
    "forest": [
        Load([*VARIANTS, *(BATCHING if PEERS else [])]),
        Load(VARIANTS, 1),
        Load(VARIANTS[:2], 8, 100),
    ],
    "columns, forest": [Load(VARIANTS[:3])],
    "columns, HistGradientBoosting": [Load(VARIANTS[:2])],
}


# ---- models and environments


def fit_models() -> dict[str, tuple[Any, dict[str, Any]]]:
    """Return the models by name, each with a row."""
    cancer, ill = load_breast_cancer(return_X_y=True)
    diabetes, progress = load_diabetes(return_X_y=True)
    wine, kind = load_wine(return_X_y=True, as_frame=True)
    names = list(wine)
    wine["colour"] = np.select([wine["hue"] < 0.8, wine["hue"] < 1], ["deep", "medium"], "light")
    wine["strength"] = np.where(wine["alcohol"] > 13, "strong", "mild")
    labels = np.array(["barolo", "grignolino", "barbera"])[kind]

    def columns(model: Any) -> Any:
        encoder = OneHotEncoder(sparse_output=False)
        parts = [("numbers", StandardScaler(), names), ("texts", encoder, ["colour", "strength"])]
        return make_pipeline(ColumnTransformer(parts), model).fit(wine, labels)

    def number_columns(row: Any) -> dict[str, float]:
        return {f"x{index}": value for index, value in enumerate(row.tolist())}

    sys.path.insert(0, str(APPS))  # The server imports the class from there, too.
    second = importlib.import_module("second").Second()
    row = {name: value.item() if hasattr(value, "item") else value for name, value in wine.iloc[0].items()}
    return {
        "logistic": (
            make_pipeline(StandardScaler(), LogisticRegression()).fit(cancer, ill),
            number_columns(cancer[0]),
        ),
        "forest": (
            RandomForestRegressor(100, random_state=0).fit(diabetes, progress),
            number_columns(diabetes[0]),
        ),
        "columns, forest": (columns(RandomForestClassifier(100, random_state=0)), row),
        "columns, HistGradientBoosting": (columns(HistGradientBoostingClassifier(random_state=0)), row),
        "a second": (second.fit([[0.0]], [0.0]), {"x0": 1.5}),
    }


def save_model(folder: Path, name: str, model: Any, row: dict[str, Any]) -> Path:
    """Save *model*, with a row of its input in a JSON file, and return its path."""
    file = folder / f"{name}.joblib"
    joblib.dump(model, file)
    file.with_suffix(".json").write_text(json.dumps(row))
    return file


def install(name: str) -> bool:
    """Create the environment *name* if needed; print pip's error and return False if that fails."""
    folder = CACHE / name
    requirements = [*REQUIREMENTS[name], f"scikit-learn=={sklearn.__version__}", "pandas"]
    stamp = folder / "installed.json"
    if not stamp.exists() or json.loads(stamp.read_text()) != requirements:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *requirements]
        done = subprocess.run(pip, capture_output=True, text=True)
        if done.returncode:
            print(f"{name} cannot be installed: {done.stderr.strip().splitlines()[-1]}")
            return False
        stamp.write_text(json.dumps(requirements))
    return True


# ---- servers and load


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def processes_of(server: int) -> set[int]:
    """Return the processes of a server: those of its session, and all their descendants."""
    processes = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # proc(5): the name of a program may have spaces.
            parent, _, session = map(int, stat.read_text().rpartition(")")[2].split()[1:4])
            processes[int(stat.parent.name)] = parent, session
    members, added = set[int](), {process for process, (_, session) in processes.items() if session == server}
    while added:
        members |= added
        added = {process for process, (parent, _) in processes.items() if parent in added} - members
    return members


def cpu_seconds(server: int) -> float:
    """Return the CPU seconds that the processes of a server have used so far."""
    ticks = 0
    for process in processes_of(server):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def send_signal(server: int, number: signal.Signals) -> None:
    """Send a signal to the processes of a server."""
    for process in processes_of(server):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


@contextlib.contextmanager
def resumed(process: int) -> Iterator[None]:
    """Let a stopped server run for the duration of the context. Idle servers poll their queues, which takes CPU."""
    send_signal(process, signal.SIGCONT)
    try:
        yield
    finally:
        send_signal(process, signal.SIGSTOP)


@contextlib.contextmanager
def run_server(server: Server, model: Path) -> Iterator[tuple[int, int]]:
    """Run *server* on the first core; yields its port and process id."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        environment = CACHE / server.environment / "bin"
        variables = {
            **os.environ,
            **PINNED,
            **server.options,
            "MODEL": str(model),
            "PATH": f"{environment}:{os.environ['PATH']}",
            "PYTHONPATH": str(APPS),
        }
        placeholders = {"port": port, "folder": folder}
        if server.prepare:
            prepare = [part.format(**placeholders) for part in server.prepare]
            subprocess.run(prepare, check=True, cwd=APPS, env=variables, capture_output=True)
        command = ["taskset", "-c", "0", *(part.format(**placeholders) for part in server.command)]
        with (CACHE / f"{server.environment}.server.log").open("w") as log:
            process = subprocess.Popen(
                command, cwd=APPS, env=variables, stdout=log, stderr=log, start_new_session=True
            )
        try:
            yield port, process.pid
        finally:
            send_signal(process.pid, signal.SIGCONT)
            send_signal(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            send_signal(process.pid, signal.SIGKILL)
            process.wait()


def send_request(port: int, path: str, body: bytes | None = None) -> bytes:
    """Send one request and return the body of the answer, whose status must be 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"content-type": "application/json", "x-api-key": KEY}
    connection.request("GET" if body is None else "POST", path, body, headers)
    response = connection.getresponse()
    content = response.read()
    if response.status != 200:
        raise RuntimeError(f"{path}: {response.status} {content[:200]!r}")
    return content


def wait_for(port: int, server: Server, row: dict[str, Any]) -> None:
    """Wait until *server* answers; after two minutes, raise its last error."""
    end = time.monotonic() + 120
    while True:
        try:
            send_request(port, server.path, json.dumps(server.body([row])).encode())
        except (OSError, http.client.HTTPException, RuntimeError):
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
        else:
            return


WRK = """
local file = io.open(os.getenv("BODY"), "rb")
wrk.method, wrk.body = "POST", file:read("*a")
wrk.headers["Content-Type"], wrk.headers["X-API-Key"] = "application/json", os.getenv("KEY")
done = function(summary, latency)
  io.write(string.format('\\n{"rate": %f, "p50": %f, "p99": %f, "errors": %d}\\n',
    summary.requests / summary.duration * 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    summary.errors.status + summary.errors.connect + summary.errors.read))
end
"""


def measure_load(
    port: int, server: Server, load: Load, row: dict[str, Any], seconds: float = SECONDS
) -> dict[str, float]:
    """Put *load* on *server* from the second core; return requests per second and latencies in milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        script, body = Path(folder, "post.lua"), Path(folder, "body")
        script.write_text(WRK)
        body.write_text(json.dumps(server.body([row] * load.rows)))
        options = [f"-c{load.connections}", f"-d{seconds}s", "--timeout=30s", f"-s{script}"]
        done = subprocess.run(
            ["taskset", "-c", "1", "wrk", "-t1", *options, f"http://127.0.0.1:{port}{server.path}"],
            env={**os.environ, "BODY": str(body), "KEY": KEY},
            check=True,
            capture_output=True,
            text=True,
        )
    figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


Figures = dict[tuple[str, str, int, int], dict[str, float]]
"""Figures by model, server, connections and rows."""


def measure_model(name: str, model: Path, row: dict[str, Any], loads: Sequence[Load]) -> Figures:
    """Return the medians of all rounds for one model. Its servers take turns; the others are stopped meanwhile."""
    rounds: dict[tuple[str, str, int, int], list[dict[str, float]]] = {}
    with contextlib.ExitStack() as started:
        running: dict[str, tuple[int, int]] = {}  # port and process
        for server_name in dict.fromkeys(name for load in loads for name in load.servers):
            server = SERVERS[server_name]
            if install(server.environment):
                running[server_name] = started.enter_context(run_server(server, model))
        for server_name, (port, process) in running.items():
            wait_for(port, SERVERS[server_name], row)
            measure_load(port, SERVERS[server_name], Load([], 8), row, 1)
            send_signal(process, signal.SIGSTOP)
        for _ in range(ROUNDS):
            for load in loads:
                for server_name in dict.fromkeys(name for name in load.servers if name in running):
                    port, process = running[server_name]
                    with resumed(process):
                        # A server that adapts to measured latencies must first forget the time when it was stopped.
                        for _ in range(10):
                            if not measure_load(port, SERVERS[server_name], load, row, 1)["errors"]:
                                break
                        before = cpu_seconds(process)
                        figures = measure_load(port, SERVERS[server_name], load, row)
                        cpu = cpu_seconds(process) - before
                    if figures["errors"] or not figures["rate"]:
                        raise RuntimeError(f"{server_name}: {figures}")
                    figures["cpu"] = cpu / figures["rate"] / SECONDS
                    rounds.setdefault((name, server_name, load.connections, load.rows), []).append(figures)
    return {
        key: {figure: statistics.median(run[figure] for run in runs) for figure in runs[0]}
        for key, runs in rounds.items()
    }


def measure_health_checks(model: Path, row: dict[str, Any]) -> list[float]:
    """Return the milliseconds of each health check while a prediction on another connection takes a second."""
    body, times = json.dumps(row).encode(), []
    with run_server(OURS, model) as (port, _):
        wait_for(port, OURS, row)
        predict = threading.Thread(target=send_request, args=(port, OURS.path, body))
        predict.start()
        time.sleep(0.1)
        while predict.is_alive():
            for check in ("live", "ready", "startup"):
                start = time.perf_counter()
                send_request(port, f"/health/{check}")
                times.append((time.perf_counter() - start) * 1000)
            time.sleep(0.02)
    return times


# ---- the table


def print_line(
    name: str, ours: float, theirs: float, unit: str, ratio: float, goal: str, cpu: str = ""
) -> None:
    """Print a line of the table."""
    print(f"{name:72}{f'{ours:,.4g} {unit}':>14}{f'{theirs:,.4g} {unit}':>14}{ratio:8.2f}{goal:>9}{cpu:>8}")


def print_rates(figures: Figures) -> None:
    """Print requests per second, ours and theirs."""
    for model, mine, other, connections, rows, goal in (
        ("logistic", "no model", "bare", 64, 1, ""),
        ("logistic", "ours, no plan, inline", "bare", 64, 1, ">= 0.95"),
        ("logistic", "ours", "bare", 64, 1, ">= 8"),
        ("logistic", "ours", "FastAPI + slowapi", 64, 1, ">= 15"),
        ("logistic", "ours", "LitServe", 64, 1, ">= 17"),
        ("logistic", "ours", "BentoML", 64, 1, ">= 20"),
        ("logistic", "ours", "MLServer", 64, 1, ">= 8"),
        ("logistic", "ours", "MLflow", 64, 1, ""),
        ("logistic", "ours in WSGI", "Flask + Flask-Limiter", 64, 1, ""),
        ("logistic", "ours", "bare", 8, 100, ">= 1.5"),
        ("forest", "ours", "bare", 64, 1, ">= 80"),
        *(("forest", "ours, no plan", peer, 64, 1, ">= 3.5") for peer in BATCHING),
        ("forest", "ours", "bare", 8, 100, ">= 8"),
        ("columns, forest", "ours", "bare", 64, 1, ""),
        ("columns, HistGradientBoosting", "ours", "bare", 64, 1, ""),
    ):
        keys = [(model, server, connections, rows) for server in (mine, other)]
        if all(key in figures for key in keys):
            ours, theirs = (figures[key]["rate"] for key in keys)
            by_cpu = figures[keys[1]]["cpu"] / figures[keys[0]]["cpu"]
            load = f"{connections} connections" + (f", {rows} rows" if rows > 1 else "")
            name = f"{model}, {load}: {mine} / {other}"
            print_line(name, ours, theirs, "/s", ours / theirs, goal, f"{by_cpu:.2f}")


def print_latencies(figures: Figures) -> None:
    """Print latencies in milliseconds, ours and theirs."""
    for model, figure, mine, other, connections, goal in (
        ("forest", "p50", "ours", "bare", 1, "<= 0.1"),
        ("logistic", "p50", "ours, no plan", "ours, no plan, no batch", 1, "<= 1.05"),
        ("forest", "p50", "ours, no plan", "ours, no plan, no batch", 1, "<= 1.05"),
        ("columns, forest", "p99", "ours, no plan", "bare", 64, "<= 0.15"),
    ):
        ours, theirs = (figures[model, server, connections, 1][figure] for server in (mine, other))
        name = f"{model}, {connections} connections, {figure}: {mine} / {other}"
        print_line(name, ours, theirs, "ms", ours / theirs, goal)


def main() -> None:
    """Print the table."""
    if (os.cpu_count() or 1) < 2:
        sys.exit("needs two cores: one for the servers, one for the load")
    for program in ("wrk", "taskset"):
        if shutil.which(program) is None:
            sys.exit(f"needs the program {program}")
    os.sched_setaffinity(0, {1})
    for ending in (signal.SIGTERM, signal.SIGHUP):
        # Exit normally, or stopped servers would be left behind.
        signal.signal(ending, lambda *_: sys.exit(1))
    CACHE.mkdir(exist_ok=True)
    if not install("ours"):
        sys.exit(1)
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (model, row) in fit_models().items():
            file = save_model(Path(folder), name, model, row)
            if name in LOADS:
                figures |= measure_model(name, file, row, LOADS[name])
        print(f"{'':72}{'ours':>14}{'theirs':>14}{'ratio':>8}{'goal':>9}{'by CPU':>8}")
        print_rates(figures)
        print_latencies(figures)
        times = measure_health_checks(file, row)
    for name, figure in (("the median", statistics.median(times)), ("the slowest", max(times))):
        print(
            f"{f'health checks during a prediction of 1 s: {name}':72}{f'{figure:.3g} ms':>14}{'':22}{'< 5 ms':>9}"
        )


if __name__ == "__main__":
    main()
