"""Errors that name options of a scoring run, either as arguments in Python or as flags of the command."""

from collections.abc import Mapping

from ..errors import ConfigurationError

__all__ = ["OptionError"]

_FLAGS = {
    "append": "--append",
    "batch_rows": "--rows",
    "deployment": "--deployment",
    "gate": "--gate",
    "intervals": "--intervals",
    "output": "--output",
    "overwrite": "--overwrite",
    "passthrough": "--keep",
    "path": "FILE",
    "query": "--query",
    "table": "--table",
}
_ARGUMENTS = {name: name for name in _FLAGS} | {"append": "append=True", "overwrite": "overwrite=True"}


class OptionError(ConfigurationError):
    """An option of a scoring run, or a file or table that it names, cannot be used.

    The message names options as arguments of `score_file`, such as ``passthrough`` and ``overwrite=True``.

    Args:
        template: Message in the syntax of `str.format`. A field such as ``{overwrite}`` stands for the name
            of that option, and ``{options}`` for all of *options*.
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
