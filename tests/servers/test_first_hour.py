"""A user who has only the README: its files and commands, and nothing else, in an empty folder.

The user installs a wheel of modelgate that was just built. All other libraries are already installed, because
the time of their downloads says nothing about modelgate. Only hatchling, which builds the wheel, is downloaded.
"""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from support.servers import ROOT, find_free_port
from support.waiting import SOON, wait_until

README = (ROOT / "README.md").read_text("utf-8")
HOSTS = ["flask", "fastapi", "django"]
MAX_COMMANDS = 6

SLOW_IMPORT = """
import sys, time

class SlowFinder:
    def find_spec(self, name, path=None, target=None):
        if name == "sklearn":
            time.sleep(20)

sys.meta_path.insert(0, SlowFinder())
"""


def read_section(text, heading):
    """Return the text below *heading*, up to the next heading, without comments that a reader does not see."""
    section = re.split(rf"^## {heading}$", text, flags=re.MULTILINE)[1]
    return re.sub(r"<!---.*?-->", "", re.split(r"^## ", section, flags=re.MULTILINE)[0], flags=re.DOTALL)


def read_files(section):
    """Return the files that the section tells to write: each is named in the sentence before its code."""
    return re.findall(r"`(\w+\.py)`(?:\)|:| is)\s+```py(?:thon)?\n(.*?)```", section, flags=re.DOTALL)


def read_commands(section):
    """Return the commands of the shell blocks."""
    blocks = "".join(re.findall(r"```sh\n(.*?)```", section, flags=re.DOTALL))
    return blocks.replace("\\\n", " ").splitlines()


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """Folder with a wheel of modelgate."""
    folder = tmp_path_factory.mktemp("wheels")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT]
    subprocess.run(command, check=True)
    return folder


@pytest.fixture
def environ(wheels, tmp_path):
    """Variables of a new virtual environment, which has the libraries of this one except modelgate."""
    environment, libraries = tmp_path / "venv", tmp_path / "libraries"
    venv.create(environment)
    libraries.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if "modelgate" not in path.name:
            (libraries / path.name).symlink_to(path)
    (site_packages,) = environment.glob("lib/python*/site-packages")
    (site_packages / "libraries.pth").write_text(str(libraries))
    for name in ("flask", "pip", "uvicorn"):
        _, code = (Path(sys.executable).parent / name).read_text().split("\n", 1)
        script = environment / "bin" / name
        script.write_text(f"#!{environment}/bin/python\n{code}")
        script.chmod(0o755)
    return {
        "PATH": f"{environment}/bin:{os.environ['PATH']}",
        "PYTHONPATH": str(tmp_path),
        "HOME": str(tmp_path),
        "PIP_NO_INDEX": "1",
        "PIP_NO_COMPILE": "1",  # takes seconds; Python compiles what it imports
        "PIP_FIND_LINKS": str(wheels),
    }


@contextlib.contextmanager
def run_in_background(command, folder, environ, port):
    """Run *command* until the block ends, which begins once it listens on *port*."""
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, shell=True, cwd=folder, env=environ, stdout=output, stderr=output, start_new_session=True
        )
    try:
        wait_until(lambda: process.poll() is not None or is_listening(port))
        assert process.poll() is None, log.read_text("utf-8")
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(SOON)


def is_listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize(
    ("host", "slow_import"),
    [*((host, False) for host in HOSTS), ("flask", True)],
    ids=[*HOSTS, "flask with a slow import of scikit-learn"],
)
def test_readme_leads_to_a_prediction(host, slow_import, environ, tmp_path):
    """With at most six commands, and no error on the way. Only the port differs from the README."""
    section, port = read_section(README, "Five minutes to a prediction"), find_free_port()
    *commands, call = read_commands(section)
    files = read_files(section)
    train, *apps = files
    if host != "flask":
        # The alternatives come after the files and commands for Flask, in this order.
        index = HOSTS.index(host) - 1
        install = re.findall(r"\(`(pip install .*?)`\)", section)[index]
        serve = re.findall(r"you run it with `(.*?)`", section)[index]
        commands = [install, *commands[:-1], serve]
    files = [train, apps[HOSTS.index(host)]]
    folder = tmp_path / "empty"
    folder.mkdir()
    for name, code in files:
        (folder / name).write_text(code, "utf-8")
    (tmp_path / "sitecustomize.py").write_text(SLOW_IMPORT if slow_import else "")
    *prepare, serve = [command.replace("8000", str(port)) for command in commands]
    for command in prepare:
        done = subprocess.run(command, shell=True, cwd=folder, env=environ, capture_output=True, text=True)
        assert (0, "") == (done.returncode, done.stderr), command
    with run_in_background(serve, folder, environ, port):
        call = call.replace("8000", str(port)).replace("curl ", "curl --silent --show-error --noproxy '*' ")
        done = subprocess.run(call, shell=True, cwd=folder, env=environ, capture_output=True, text=True)

    assert (0, "") == (done.returncode, done.stderr)
    answer = json.loads(done.stdout)
    assert "no" == answer["prediction"]
    assert {"no": 0.86, "yes": 0.14} == {name: round(p, 2) for name, p in answer["probabilities"].items()}
    assert MAX_COMMANDS >= len([*commands, call])
    assert list(tmp_path.glob("venv/lib/python*/site-packages/modelgate/__init__.py"))
