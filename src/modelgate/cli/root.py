"""Command group of ``modelgate``, which converts errors to exit codes."""

from importlib import import_module
from typing import Any

import click

from ..errors import ConfigurationError, KeyInactive, ModelgateError, NotFound, StoreError
from .format_error import format_error
from .help import examples
from .output_tables import escape

__all__ = ["cli"]

_EXIT_CODES: dict[type[ModelgateError], int] = {
    ConfigurationError: 2,
    NotFound: 3,
    KeyInactive: 3,
    StoreError: 4,
}


_COMMANDS = (
    "deployments",
    "doctor",
    "inspect",
    "keys",
    "limits",
    "pack",
    "replay",
    "report",
    "score",
    "serve",
)


class _Group(click.Group):
    """Command group that imports a command when it is used, and reports a modelgate error in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"{__package__}.{cmd_name}"), cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except tuple(_EXIT_CODES) as error:
            click.echo(f"Error: {escape(_format_error(error))}", err=True)
            ctx.exit(next(code for kind, code in _EXIT_CODES.items() if isinstance(error, kind)))
        except BrokenPipeError:
            raise  # The reader of the output closed the pipe: let click end the command.
        except OSError as error:
            click.echo(f"Error: {escape(str(error))}", err=True)
            ctx.exit(2)


def _format_error(error: ModelgateError) -> str:
    if not isinstance(error, StoreError):
        return format_error(error)
    # The database driver's message says why. It does not contain the URL, which may hold a password.
    cause = str(getattr(error.__cause__, "orig", None) or "no response").strip()
    return f"database unavailable: {cause.splitlines()[0]}"


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples("inspect churn.skops", "serve churn.skops", "score --help"),
)
@click.version_option(package_name="modelgate")
def cli() -> None:
    """Serve a trained model as a prediction endpoint inside the web app you already have."""
