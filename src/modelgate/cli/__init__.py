"""The command ``modelgate``. Requires the extra ``cli``.

Exit codes:

- 0: success
- 1: the command found a problem, such as rejected rows or different predictions, or the extra ``cli`` is
  missing
- 2: wrong usage, or an option or file that cannot be used (for example because another extra is missing)
- 3: the key or deployment does not exist, or its state does not allow the operation
- 4: the database or the server is unavailable
"""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command with the arguments of this process."""
    try:
        from .root import cli

        cli()
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("click", "rich"):
            raise
        sys.exit('The command modelgate needs click and rich: pip install "modelgate[cli]"')
