"""The Python examples of the README and the docs are tests; and in CI no test may be skipped."""

import contextlib
import doctest
import os
import shlex
import tempfile

import hypothesis
import pytest
from sybil import Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

# An example has no deadline: a machine may be busy with other things. In CI the examples are the same each time,
# so that a change is judged by what it changed; elsewhere new ones.
hypothesis.settings.register_profile("modelgate", deadline=None, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.load_profile("modelgate")


def _enter(namespace):
    """Each document has a folder of its own to work in."""
    namespace["__name__"] = "__main__"
    namespace["_stack"] = stack = contextlib.ExitStack()
    stack.enter_context(contextlib.chdir(stack.enter_context(tempfile.TemporaryDirectory())))


def _leave(namespace):
    namespace["_stack"].close()


_ALIKE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def _run_commands(example):
    """A block of console: each ``$ modelgate …`` is run, and what follows it is what it prints; … is any text."""
    import click.testing

    from modelgate.cli.root import cli

    for shown in example.parsed.split("$ modelgate ")[1:]:
        command, _, expected = shown.partition("\n")
        done = click.testing.CliRunner().invoke(cli, shlex.split(command))
        told = "".join(line.rstrip() + "\n" for line in done.output.splitlines())
        if not doctest.OutputChecker().check_output(expected.replace("…", "..."), told, _ALIKE):
            return f"modelgate {command}\n{told}"
    return None


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser(), CodeBlockParser("console", _run_commands)],
    patterns=["README.md", "docs/*.md", "docs/*/*.md"],
    setup=_enter,
    teardown=_leave,
).pytest()


def pytest_sessionfinish(session):
    """A skipped test names a program that is missing, and CI has to have them all."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped") if reporter is not None else None
    if os.environ.get("CI") and skipped:
        for report in skipped:
            reporter.write_line(f"skipped, and CI allows none: {report.nodeid}: {report.longrepr}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
