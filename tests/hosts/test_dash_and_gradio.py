"""The recipes for Dash and Gradio, in an environment of their own.

Dash brings a pytest plugin that warns, and Gradio limits the versions of many libraries. The recipes for other
frameworks run where they are written.
"""

import os
import re
import subprocess
import tomllib

import pytest

from support.environments import make_environment
from support.servers import ROOT
from support.waiting import SOON

PAGE = (ROOT / "docs/cookbook/frameworks.md").read_text("utf-8")
SETUP = re.search(r"<!--- invisible-code-block: python\n(.*?)-->", PAGE, flags=re.DOTALL).group(1)
BEFORE = {
    "Dash": "from dash import html",
    "Gradio": "import gradio\nfrom fastapi import FastAPI\ndemo = gradio.Interface(str.upper, 'text', 'text')",
}
AFTER = {
    "Dash": "app.layout = html.H1('Churn'); app, path, text = app.server, '/_dash-layout', 'Churn'",
    "Gradio": "path, text = '/ui/config', 'upper'",
}
CHECK = """
check(app)
page = Client(app).get(path)
assert (200, True) == (page.status, text in page.body.decode()), page
"""


@pytest.fixture(scope="module")
def python(request):
    core = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    requirements = ["dash>=4", "gradio>=6", *core]
    return make_environment(request.config.cache, "dash-gradio", requirements) / "python"


@pytest.mark.parametrize("framework", BEFORE)
def test_recipe_serves_the_gate_and_the_app(python, framework, tmp_path):
    recipe = re.search(rf"^## {framework}$.*?```py\n(.*?)```", PAGE, flags=re.DOTALL | re.MULTILINE).group(1)
    program = "\n".join([SETUP, BEFORE[framework], recipe, AFTER[framework], CHECK])
    done = subprocess.run(
        [python, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "GRADIO_ANALYTICS_ENABLED": "False"},
        capture_output=True,
        text=True,
        timeout=SOON,
    )

    assert 0 == done.returncode, done.stderr
