"""The command ``modelgate``. Needs the extra ``cli``.

Exit codes: 0 done; 1 the extra is missing, or a command found what it looks for; 2 the command is used in
another way than it is meant, or an option or a file cannot work, for want of another extra for one; 3 there is
no such key or deployment, or its state does not allow it; 4 the database, or the server, cannot be asked.
"""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command with the arguments of the process."""
    try:
        from .root import cli

        cli()
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("click", "rich"):
            raise
        sys.exit('The command modelgate needs click and rich: pip install "modelgate[cli]"')
