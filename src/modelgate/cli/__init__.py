"""The command ``modelgate``. Needs the extra ``cli``.

Exit codes: 0 done; 1 an extra is missing; 2 the command is used in another way than it is meant, or an
option cannot work; 3 there is no such key, or it is in a state that does not allow it; 4 the database
cannot be asked.
"""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command with the arguments of the process."""
    try:
        from .root import cli
    except ImportError as error:
        if error.name not in ("click", "rich"):
            raise
        sys.exit('The command modelgate needs click and rich: pip install "modelgate[cli]"')
    cli()
