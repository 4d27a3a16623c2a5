"""Pages whose facts are in files: the troubleshooting tables, the container and the navigation."""

import ast
import functools
import json
import logging
import re
import shlex
from pathlib import Path

import pytest
import skops.io

import modelgate
from modelgate.testing import Client
from support.keys import KEY

ROOT = Path(__file__).parents[2]
PROJECT = (ROOT / "pyproject.toml").read_text()
ROW = {"alcohol": 13.2, "malic_acid": 1.78, "hue": 1.05, "colour": "medium"}
DOCKER = ROOT / "examples" / "docker"
ROWS = re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs/troubleshooting.md").read_text(), re.M)


@functools.cache
def read_texts():
    """Return the strings in the source of modelgate; ``…`` stands for values."""
    texts = set()
    for path in Path(modelgate.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
                texts.add("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.add(re.sub(r"%(\.\d)?[sdf]", "…", node.value))
    return texts


@pytest.mark.slow
@pytest.mark.parametrize("message", ROWS)
def test_messages_exist(message):
    """Each part between values is in one text of the source, in this order."""
    parts = [part for part in message.split("…") if part.strip(" :,")]
    pattern = re.compile(".*".join(map(re.escape, parts)), re.DOTALL)

    assert parts
    assert any(pattern.search(text) for text in read_texts())


def test_there_are_many_messages():
    assert len(ROWS) > 35


def test_readme_names_the_lowest_versions():
    section = (ROOT / "README.md").read_text().partition("## Versions")[2].partition("##")[0]
    named = re.findall(r"([\w-]+) (\d[\d.]*\d)", section.partition("on:")[2])

    assert len(named) > 5
    for name, version in named:
        assert f'"{name.lower()}>={version}"' in PROJECT


# The container


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("Dockerfile", "dockerfile"),
        ("requirements.txt", "text"),
        ("app.py", "python"),
        (".dockerignore", "text"),
    ],
)
def test_container_page_shows_the_files(name, language):
    page = (ROOT / "docs/cookbook/docker.md").read_text()

    assert f"```{language}\n{(DOCKER / name).read_text()}```" in page


def read_instructions():
    """Return the instructions of the Dockerfile, each with its arguments."""
    text = re.sub(r"\\\n", " ", (DOCKER / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [tuple(line.split(maxsplit=1)) for line in lines]


class TestDockerfile:
    INSTRUCTIONS = read_instructions()

    def of(self, name):
        return [arguments for instruction, arguments in self.INSTRUCTIONS if instruction == name]

    def test_has_known_instructions_only(self):
        known = {"FROM", "ENV", "RUN", "WORKDIR", "COPY", "USER", "EXPOSE", "HEALTHCHECK", "CMD"}

        assert {name for name, _ in self.INSTRUCTIONS} <= known
        assert "FROM" == self.INSTRUCTIONS[0][0]

    def test_base_image_has_a_version_that_modelgate_supports(self):
        """Not ``latest``, which changes without notice."""
        (image,) = self.of("FROM")
        version = re.fullmatch(r"python:(\d+\.\d+)-slim", image)[1]

        assert f"Python :: {version}" in (ROOT / "pyproject.toml").read_text()

    def test_does_not_run_as_root(self):
        names = [name for name, _ in self.INSTRUCTIONS]
        (user,) = self.of("USER")

        assert "root" != user
        assert any(f"useradd --create-home {user}" in command for command in self.of("RUN"))
        assert names.index("USER") < names.index("CMD")
        assert max(index for index, name in enumerate(names) if name == "RUN") < names.index("USER")

    def test_commands_start_no_shell(self):
        """A shell would not pass SIGTERM on."""
        (command,) = self.of("CMD")
        (check,) = self.of("HEALTHCHECK")

        assert "uvicorn" == json.loads(command)[0]
        assert "python" == json.loads(check.partition("CMD ")[2])[0]
        compile(json.loads(check.partition("CMD ")[2])[2], "healthcheck", "exec")

    def test_copies_what_is_not_ignored(self):
        sources = {
            source.rstrip("/") for arguments in self.of("COPY") for source in shlex.split(arguments)[:-1]
        }
        ignored = (DOCKER / ".dockerignore").read_text().split()

        assert "*" == ignored[0]
        assert sources == {name.removeprefix("!") for name in ignored[1:]}
        assert all((DOCKER / name).exists() for name in sources - {"models"})

    def test_has_no_secrets(self):
        assert not re.search(r"key|secret|password|token", " ".join(self.of("ENV")), re.IGNORECASE)

    def test_port_of_the_server_is_exposed_and_checked(self):
        port = re.search(r'"--port", "(\d+)"', self.of("CMD")[0])[1]

        assert [port] == self.of("EXPOSE")
        assert f"127.0.0.1:{port}/ml/health/ready" in self.of("HEALTHCHECK")[0]


def test_container_app_serves(tmp_path, monkeypatch, wine):
    """With the model and the key of the page."""
    (tmp_path / "models").mkdir()
    skops.io.dump(wine[0], tmp_path / "models/churn.skops")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELGATE_KEYS", f"{KEY}=churn")
    monkeypatch.setattr(logging, "basicConfig", lambda **options: None)
    namespace = {"__name__": "app"}
    exec(compile((DOCKER / "app.py").read_text(), "app.py", "exec"), namespace)
    namespace["gate"].deployments.warm()
    client = Client(namespace["app"], headers={"authorization": f"Bearer {KEY}"})

    assert 200 == client.get("/ml/health/ready").status
    assert 200 == client.post("/ml/deployments/churn/predict", json=ROW).status


def test_pages_are_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text()
    pages = [page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")]

    assert [] == [page for page in pages if not re.search(rf"(- |: ){re.escape(page)}$", navigation, re.M)]
