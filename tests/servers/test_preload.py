"""A gate that is created before the server forks."""

import http.client
import json
import time
from collections import Counter
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from support.servers import ROOT, run_server
from support.waiting import SOON

COMMAND = [
    *("-m", "gunicorn", "servers.preloaded_app:app", "--pythonpath", "tests", "--preload"),
    *("--workers", "2", "--worker-class", "sync", "--bind", "127.0.0.1:PORT"),
    *("--access-logfile", "-", "--access-logformat", "answered by %(p)s"),
]


def test_forked_workers_make_predictions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model uses OpenMP, and the gate called it before the fork."""
    rows = np.random.default_rng(0).normal(size=(400, 3))
    model = make_pipeline(PolynomialFeatures(), HistGradientBoostingClassifier(max_iter=20))
    joblib.dump(model.fit(rows, rows[:, 0] > 0), tmp_path / "model.joblib")
    monkeypatch.setenv("PRELOADED_MODEL", str(tmp_path / "model.joblib"))
    # Use the same number of threads on any machine.
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    body = json.dumps([dict(zip(("x0", "x1", "x2"), row, strict=True)) for row in rows.tolist()])
    statuses: list[int] = []
    answered: Counter[str] = Counter()
    until = time.monotonic() + SOON
    with run_server("gunicorn", COMMAND, tmp_path, cwd=ROOT) as server:
        while (len(answered) < 2 or min(answered.values()) < 4) and time.monotonic() < until:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=SOON)
            connection.request("POST", "/simple/m", body, {"Content-Type": "application/json"})
            statuses.append(connection.getresponse().status)
            connection.close()
            answered = Counter(line for line in server.log.read_text().splitlines() if "answered by" in line)

    assert {200} == set(statuses)
    assert 2 == len(answered)
    assert min(answered.values()) >= 4
