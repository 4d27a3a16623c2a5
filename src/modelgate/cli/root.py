"""The group of all commands, and how their errors become exit codes."""

from typing import Any

import click

from ..errors import ConfigurationError, KeyInactive, ModelgateError, NotFound, StoreError
from .deployments import deployments
from .doctor import doctor
from .inspect import inspect
from .keys import keys
from .pack import pack
from .replay import replay
from .score import score
from .serve import serve

__all__ = ["cli"]

_CODES: dict[type[ModelgateError], int] = {ConfigurationError: 2, NotFound: 3, KeyInactive: 3, StoreError: 4}


class _Group(click.Group):
    """Tells an error of modelgate in one line, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except tuple(_CODES) as error:
            click.echo(f"Error: {_told(error)}", err=True)
            ctx.exit(_CODES[type(error)])
        except BrokenPipeError:
            raise  # of who reads what is printed: click ends the command
        except OSError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(2)


def _told(error: ModelgateError) -> str:
    if not isinstance(error, StoreError):
        return str(error)
    # What the driver says: for who runs the command, and without the URL, which may hold a password.
    cause = str(getattr(error.__cause__, "orig", None) or "it does not answer").strip()
    return f"the database cannot be asked: {cause.splitlines()[0]}"


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="modelgate")
def cli() -> None:
    """A trained model as a production prediction endpoint inside the web app you already have."""


for _command in (inspect, pack, keys, deployments, score, serve, replay, doctor):
    cli.add_command(_command)
