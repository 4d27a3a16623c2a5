"""Run the examples of README and docs as tests, and fail on skipped tests in CI."""

import contextlib
import doctest
import importlib
import logging
import os
import pkgutil
import shlex
import sys
import tempfile
import warnings

import hypothesis
import pytest
from click.testing import CliRunner  # tests/conftest.py replaces it with one that separates the streams
from sybil import Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

# The models of the tests are too small for several threads of OpenMP, or of OpenBLAS, which reads the same variable.
# If a test requests several threads, idle ones do not spin. Set before the first import of scikit-learn, and for all processes that the tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# No deadline: the machine may be busy. CI uses the same examples in each run, so that an unrelated change
# cannot fail there; other runs explore new ones.
hypothesis.settings.register_profile(
    "modelgate",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI")),
)
hypothesis.settings.register_profile("quick", hypothesis.settings.get_profile("modelgate"), max_examples=20)


def pytest_configure(config):
    """Let `make quick` try fewer examples."""
    hypothesis.settings.load_profile("quick" if config.option.markexpr == "not slow" else "modelgate")


@pytest.hookimpl(wrapper=True)
def pytest_collection(session):
    """Collect the tests without tracing lines for the coverage, which takes twice as long, in each worker.

    Meanwhile, the process that distributes the tests imports all modules, and traces that.
    """
    coverage = "coverage" in sys.modules and sys.modules["coverage"].Coverage.current()
    if not coverage:
        return (yield)
    if not hasattr(session.config, "workerinput"):
        _import_all_modules()
        return (yield)
    coverage.stop()
    try:
        return (yield)
    finally:
        coverage.start()


def _import_all_modules():
    """Import all modules of modelgate whose dependencies are installed."""
    import modelgate

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in pkgutil.walk_packages(modelgate.__path__, "modelgate."):
            with contextlib.suppress(ImportError):
                importlib.import_module(module.name)


def _enter_temporary_folder(namespace):
    """Run each document in a folder of its own."""
    namespace["__name__"] = "__main__"
    namespace["_stack"] = stack = contextlib.ExitStack()
    stack.enter_context(contextlib.chdir(stack.enter_context(tempfile.TemporaryDirectory())))
    stack.callback(_reset_root_logger, logging.root.level)


def _reset_root_logger(level):
    """Undo what a framework does to the root logger: Litestar shows INFO through a handler of its own."""
    logging.root.setLevel(level)
    for handler in logging.root.handlers[:]:
        if not type(handler).__module__.startswith("_pytest"):
            logging.root.removeHandler(handler)


def _leave_temporary_folder(namespace):
    namespace["_stack"].close()


_COMPARISON = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def _run_commands(example):
    """Run each ``$ modelgate …`` of a console block and compare its output; ``…`` matches any text.

    A command may be continued on the next line with a backslash.
    """
    from modelgate.cli.root import cli

    for text in example.parsed.replace("\\\n", "").split("$ modelgate ")[1:]:
        command, _, expected = text.partition("\n")
        result = CliRunner().invoke(cli, shlex.split(command))
        output = "".join(line.rstrip() + "\n" for line in result.output.splitlines())
        if not doctest.OutputChecker().check_output(expected.replace("…", "..."), output, _COMPARISON):
            return f"modelgate {command}\n{output}"
    return None


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser(), CodeBlockParser("console", _run_commands)],
    patterns=["README.md", "docs/*.md", "docs/*/*.md"],
    setup=_enter_temporary_folder,
    teardown=_leave_temporary_folder,
).pytest()


def pytest_sessionfinish(session):
    """Fail a CI run with skipped tests: each means that a program is missing."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped") if reporter is not None else None
    if os.environ.get("CI") and skipped:
        for report in skipped:
            reporter.write_line(f"skipped, which CI does not allow: {report.nodeid}: {report.longrepr}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
