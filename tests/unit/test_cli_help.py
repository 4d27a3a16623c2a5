"""Help pages, the progress of slow commands, and the cost of starting a command."""

import os
import re
import shlex
import subprocess
import sys
import time

import click
import click.testing
import pytest

from modelgate.cli import progress
from modelgate.cli.root import cli
from support.waiting import SOON


def walk(command, path=()):
    """Yield all commands below *command*, each with its words after ``modelgate``."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from walk(command.get_command(context, name), (*path, name))


COMMANDS = dict(walk(cli))


def read_help(path):
    """Return the help page of a command."""
    with click.Context(COMMANDS[path], info_name=" ".join(["modelgate", *path])) as context:
        return COMMANDS[path].get_help(context)


def read_examples(page):
    return [shlex.split(line) for line in page.partition("Examples:\n")[2].splitlines()]


def find_command(words):
    """Return the command that *words* name, and its arguments."""
    path = next(path for end in range(len(words), -1, -1) if (path := tuple(words[:end])) in COMMANDS)
    return COMMANDS[path], words[len(path) :]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
class TestHelp:
    def test_has_examples(self, path):
        """Of the command itself, or of a command of the group."""
        examples = read_examples(read_help(path))

        assert examples
        assert all(("modelgate", *path) == tuple(words[: len(path) + 1]) for words in examples)

    def test_examples_have_the_options_of_the_command(self, path):
        for words in read_examples(read_help(path)):
            command, arguments = find_command(words[1:])
            known = {name for parameter in command.params for name in parameter.opts} | {"--help"}
            required = {parameter.opts[0] for parameter in command.params if parameter.required}

            assert {word for word in arguments if word.startswith("-")} <= known
            assert "--help" in arguments or {name for name in required if name.startswith("-")} <= {
                *arguments
            }

    def test_has_plain_metavars(self, path):
        assert not re.search(r"RANGE|FLOAT|INTEGER", read_help(path).partition("Options:")[2])


IMPORTED = """
import json, sys
from modelgate.cli.root import cli
try:
    cli(sys.argv[1:], prog_name="modelgate")
finally:
    print(json.dumps([name.partition(".")[0] for name in sys.modules]), file=sys.stderr)
"""

MAX_MODULES = 200
"""A command has about 120 modules with Python 3.11; asyncio, numpy or msgspec would add 60 or more."""


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in COMMANDS if path], ids=" ".join)
def test_commands_start_quickly(path):
    """Counted in modules, not in time: a machine may be busy."""
    # Without coverage, which would import modules of its own.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, *path, "--help"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=SOON,
    )
    modules = done.stderr.splitlines()[-1]

    assert "Usage: modelgate" in done.stdout
    assert not [name for name in ("numpy", "asyncio", "rich", "httpx", "sklearn") if f'"{name}"' in modules]
    assert modules.count(",") < MAX_MODULES


def test_unknown_commands_are_rejected():
    done = click.testing.CliRunner().invoke(cli, ["scoer"])

    assert (2, True) == (done.exit_code, "No such command 'scoer'" in done.stderr)


class TestPhases:
    def test_are_silent_at_first(self, capsys):
        with progress.show_phases() as begin_phase:
            begin_phase("Loading")

        assert "" == capsys.readouterr().err

    def test_are_shown_once_the_command_is_slow(self, capsys, monkeypatch):
        """The current one, and each that follows."""
        monkeypatch.setattr(progress, "_QUICK", 0.05)
        with progress.show_phases() as begin_phase:
            begin_phase("Loading")
            begin_phase("Testing")
            deadline, shown = time.monotonic() + SOON, ""
            while "Testing" not in shown and time.monotonic() < deadline:
                time.sleep(0.01)
                shown += capsys.readouterr().err
            begin_phase("Writing")

        assert "Testing …\nWriting …\n" == shown + capsys.readouterr().err

    @pytest.mark.parametrize("command", ["pack", "inspect"])
    def test_of_commands(self, command, tmp_path, wine, monkeypatch):
        import skops.io

        monkeypatch.setattr(progress, "_QUICK", 0)
        path = tmp_path / "wine.skops"
        skops.io.dump(wine[0], path)
        sample = tmp_path / "sample.csv"
        sample.write_text("alcohol,malic_acid,hue,colour\n13.2,1.78,1.05,medium\n")
        options = ["--sample", str(sample)] if command == "pack" else []
        done = click.testing.CliRunner().invoke(cli, [command, str(path), *options])

        assert 0 == done.exit_code, done.output
        assert "Testing the model" in done.stderr
