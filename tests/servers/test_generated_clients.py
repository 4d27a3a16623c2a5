"""Clients generated from a gate's OpenAPI documents make predictions, against a running gate."""

import importlib
import json
import shutil
import subprocess
import sys
import typing
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.openapi import OpenAPIDocument
from support.servers import BEARER, KEY, Server, run_server
from support.waiting import SOON

COMMAND = ["-m", "uvicorn", "servers.documented_app:gate.asgi", "--app-dir", "tests", "--port", "PORT"]
OPENAPI_GENERATOR = [sys.executable, "-c", "import openapi_generator_cli; openapi_generator_cli.cli()"]
DOCUMENTS = {
    "churn": "/deployments/churn/openapi.json",
    "price": "/deployments/price/openapi.json",
    "both": "/deployments/both/openapi.json",
    "all": "/openapi.json",
}


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("gate")
    with run_server("documented", COMMAND, folder) as server:
        yield server


@dataclass(frozen=True)
class Call:
    """Operation of a document, with the body of its example and the answer to it."""

    operation_id: str
    tag: str
    path: str
    body: Any
    answer: Any

    @property
    def path_parameters(self) -> dict[str, str]:
        return {"key": KEY} if "{key}" in self.path else {}


@dataclass(frozen=True)
class Document:
    """OpenAPI document of a gate, stored in a file."""

    name: str
    url: str
    file: Path
    calls: list[Call]


@pytest.fixture(scope="module", params=DOCUMENTS)
def document(request: Any, serving: Server, tmp_path_factory: pytest.TempPathFactory) -> Document:
    """Return a document, with the predictions that its examples get without a generated client."""
    with serving.connection() as connection:
        connection.request("GET", DOCUMENTS[request.param], headers=BEARER)
        content = connection.getresponse().read()
    file = tmp_path_factory.mktemp("document") / "openapi.json"
    file.write_bytes(content)
    reading = OpenAPIDocument(json.loads(content))
    calls = []
    for path, operation in reading.list_operations():
        body = reading.resolve(operation["requestBody"])["content"]["application/json"]["example"]
        body = replace_key(body)
        response = serving.post(path.replace("{key}", KEY), body)
        assert 200 == response.status, response
        answer = comparable(response.json())
        calls.append(Call(operation["operationId"], operation["tags"][0], path, body, answer))
    return Document(request.param, f"http://127.0.0.1:{serving.port}", file, calls)


def replace_key(body: Any) -> Any:
    return {**body, "api_key": KEY} if isinstance(body, dict) and "api_key" in body else body


def comparable(response: Any) -> Any:
    """Return *response* without the members that differ between any two responses."""
    if not isinstance(response, dict):
        return response
    changing = ("request_id", "processing_time_ms")
    return {name: value for name, value in response.items() if name not in changing}


def run(command: list[str], folder: Path) -> str:
    """Run *command* in *folder* and return its output."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SOON)

    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def import_package(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, Path], Any]]:
    """Return a function that imports a package of generated code, whose warnings do not matter."""

    def import_from(name: str, folder: Path) -> Any:
        monkeypatch.syspath_prepend(folder)
        return importlib.import_module(name)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield import_from


def to_json(value: Any) -> Any:
    """Return an object of a generated class as plain JSON, without members that the response may not have had."""
    if hasattr(value, "to_dict"):
        value = value.to_dict()
    if isinstance(value, list):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return comparable({name: to_json(item) for name, item in value.items() if item is not None})
    return value


def find_name(names: Iterable[str], wanted: str) -> str:
    """Return the name that a generator made of *wanted*: in another case, or without underscores."""
    return next(name for name in names if name.replace("_", "").lower() == wanted.replace("_", ""))


def test_openapi_generator(
    document: Document,
    tmp_path: Path,
    import_package: Callable[[str, Path], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its client for Python, with pydantic."""
    if shutil.which("java") is None:
        pytest.skip("Java is not installed: no java on PATH")
    # Optimizing the code of so short a run would take longer than the run.
    monkeypatch.setenv("JAVA_OPTS", "-XX:TieredStopAtLevel=1")
    package = f"generated_{document.name}"
    arguments = ["generate", "-g", "python", "-i", str(document.file), "--package-name", package]
    parts = "apis,models,supportingFiles,apiDocs=false,modelDocs=false,apiTests=false,modelTests=false"
    run([*OPENAPI_GENERATOR, *arguments, "-o", ".", "--global-property", parts], tmp_path)
    client = import_package(package, tmp_path)
    configuration = client.Configuration(host=document.url, access_token=KEY)
    answers = {}
    for call in document.calls:
        api = getattr(client, find_name(vars(client), f"{call.tag}api"))(client.ApiClient(configuration))
        predict = getattr(api, find_name(dir(api), call.operation_id))
        name, model = find_body(predict)
        answer = predict(**{name: model.from_dict(call.body)}, **call.path_parameters)
        answers[call.path] = to_json(answer)

    assert {call.path: call.answer for call in document.calls} == answers


def find_body(predict: Callable[..., Any]) -> tuple[str, Any]:
    """Return the name and the class of the parameter with the body."""
    for name, hint in typing.get_type_hints(predict).items():
        if hasattr(hint, "from_dict") and name != "return":
            return name, hint
    raise AssertionError(f"{predict} has no body")


def test_openapi_python_client(
    document: Document, tmp_path: Path, import_package: Callable[[str, Path], Any]
) -> None:
    package = f"attrs_{document.name}"
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--path", str(document.file)]
    run([*command, "--output-path", package, "--meta", "none"], tmp_path)
    client = import_package(package, tmp_path)
    answers = {}
    # Its code for a body that is either JSON or a form fails in isinstance().
    calls = [call for call in document.calls if call.tag != "datarobot"]
    with client.AuthenticatedClient(base_url=document.url, token=KEY) as session:
        for call in calls:
            module = importlib.import_module(f"{package}.api.{call.tag}.{call.operation_id}")
            body = make_attrs_body(module, call.body)
            response = module.sync_detailed(client=session, body=body, **call.path_parameters)
            answers[call.path] = to_json(response.parsed)

    assert {call.path: call.answer for call in calls} == answers


def make_attrs_body(module: Any, body: Any) -> Any:
    if isinstance(body, list):
        return [make_attrs_body(module, item) for item in body]
    models = [model for model in vars(module).values() if hasattr(model, "from_dict")]
    for model in models:
        with suppress(KeyError, TypeError, ValueError):
            if model.from_dict(body).to_dict() == body:
                return model.from_dict(body)
    raise AssertionError(f"no model of {module} fits {body}")


@pytest.fixture(scope="module")
def npm_folder(request: Any) -> Path:
    """A folder with the packages for TypeScript, which later runs use again."""
    if shutil.which("npm") is None:
        pytest.skip("Node.js is not installed: no npm on PATH")
    folder = Path(request.config.cache.mkdir("typescript"))
    package, installed = (
        Path(__file__).parent / "typescript/package.json",
        folder / "node_modules/package.json",
    )
    if not installed.exists() or installed.read_bytes() != package.read_bytes():
        shutil.copy(package, folder)
        done = subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=SOON,
        )
        if done.returncode:
            pytest.skip(f"npm cannot install the packages for TypeScript:\n{done.stderr}")
        shutil.copy(package, installed)
    return folder


PROGRAM = """
import createClient from "openapi-fetch";
import type {{ paths }} from "./schema.js";

const client = createClient<paths>({{ baseUrl: {url}, headers: {{ Authorization: {authorization} }} }});
const answers: unknown[] = [];
let result: {{ data?: unknown; error?: unknown }};
{calls}
console.log(JSON.stringify(answers));
"""
CALL = """
result = await client.POST({path}, {options});
answers.push(result.data ?? result.error);
"""
MISTAKE = """
// @ts-expect-error The compiler fails where it finds nothing wrong.
() => client.POST({path}, {options});
"""
COMPILER_OPTIONS = [
    "--strict",
    "--skipLibCheck",
    "--target",
    "es2022",
    "--lib",
    "es2022,dom",
    "--module",
    "nodenext",
]


def test_openapi_typescript(document: Document, npm_folder: Path) -> None:
    """With openapi-fetch, by which the compiler checks paths, parameters and bodies."""
    statements = [
        CALL.format(path=json.dumps(call.path), options=json.dumps(make_options(call, call.body)))
        for call in document.calls
    ]
    statements += [
        MISTAKE.format(
            path=json.dumps(call.path), options=json.dumps(make_options(call, {**call.body, "age": "40"}))
        )
        for call in document.calls
        if call.path.endswith("/predict")
    ]
    program = PROGRAM.format(
        url=json.dumps(document.url), authorization=json.dumps(f"Bearer {KEY}"), calls="".join(statements)
    )
    folder = npm_folder / document.name
    folder.mkdir(exist_ok=True)
    (folder / "program.ts").write_text(program)
    programs = npm_folder / "node_modules/.bin"
    # By default, members of a request that have a default are required.
    generator = [str(programs / "openapi-typescript"), "--default-non-nullable", "false"]
    run([*generator, str(document.file), "-o", "schema.ts"], folder)
    run([str(programs / "tsc"), *COMPILER_OPTIONS, "program.ts"], folder)
    answers = json.loads(run(["node", "program.js"], folder))

    assert [call.answer for call in document.calls] == [comparable(answer) for answer in answers]


def make_options(call: Call, body: Any) -> dict[str, Any]:
    """Return the options of a call of openapi-fetch."""
    parameters = {"params": {"path": call.path_parameters}} if call.path_parameters else {}
    return {**parameters, "body": body}
