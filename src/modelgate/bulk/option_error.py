"""Errors that name options of a scoring run, either as arguments in Python or as flags of the command."""

from collections.abc import Mapping

from ..errors import ConfigurationError

__all__ = ["OptionError"]

_NAMES = (
    *(
        "append",
        "batch_rows",
        "deployment",
        "gate",
        "intervals",
        "output",
        "overwrite",
        "passthrough",
        "path",
    ),
    *("query", "table"),
)
_ARGUMENTS = {name: name for name in _NAMES} | {"append": "append=True", "overwrite": "overwrite=True"}
_FLAGS = {name: f"--{name}" for name in _NAMES} | {
    "batch_rows": "--rows",
    "passthrough": "--keep",
    "path": "FILE",
}


class OptionError(ConfigurationError):
    """An option of a scoring run, or a file or table that it names, cannot be used.

    The message names options as arguments of `score_file`, such as ``passthrough`` and ``overwrite=True``.

    Args:
        template: Message in the syntax of `str.format`. Fields such as ``{overwrite}`` are the names of
            options, and ``{options}`` are *options*.
        options: Options with their values.
        values: Values of the other fields.
    """

    def __init__(self, template: str, options: Mapping[str, object] | None = None, **values: object) -> None:
        self._template, self._options, self._values = template, options or {}, values
        arguments = ", ".join(f"{name}={value}" for name, value in self._options.items())
        super().__init__(template.format(**_ARGUMENTS, **values, options=arguments))

    def with_flags(self) -> str:
        """Return the message with the options as flags of ``modelgate score``, such as ``--overwrite``."""
        flags = []
        for name, value in self._options.items():
            flag = _FLAGS.get(name, f"--{name}")
            items = value if isinstance(value, list) else [value]
            flags += [flag if item is True else f"{flag} {item}" for item in items]
        return self._template.format(**_FLAGS, **self._values, options=" ".join(flags))
