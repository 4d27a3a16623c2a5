"""Match names that callers spell differently from the schema, but that can only mean one column."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence

__all__ = ["find_labels", "find_similar", "match_names", "normalize_name"]


def normalize_name(name: str) -> str:
    """Return *name* in Unicode's composed form, without surrounding spaces, and with ``_`` for inner spaces.

    LightGBM, too, stores names with ``_`` in place of spaces.
    """
    return unicodedata.normalize("NFC", name.strip(" \t")).replace(" ", "_")


def match_names(columns: Sequence[str], sent: Iterable[str]) -> dict[str, str]:
    """Return a mapping of names in *sent* that are not columns to the columns that they stand for.

    A name stands for a column if all of these conditions are met:

    * The column was not sent under its own name.
    * The name and the column are equal after `normalize_name`.
    * No other name in *sent* that is not a column is equal to them after `normalize_name`.
    * No other column that was not sent is equal to them after `normalize_name`.

    If all columns are named ``x0``, ``x1``, … (the model was fitted without names), ``0`` stands for ``x0``.

    Args:
        columns: Names of all columns of the schema.
        sent: Names in the input.
    """
    known, names = set(columns), set(sent)
    if known <= names or names <= known:
        return {}
    absent = {column: normalize_name(column) for column in columns if column not in names}
    normalize = _normalizer(columns)
    unknown = {name: normalize(name) for name in sent if name not in known}
    counts = Counter(absent.values()), Counter(unknown.values())
    unique = {text: column for column, text in absent.items() if counts[0][text] == counts[1][text] == 1}
    return {name: unique[text] for name, text in unknown.items() if text in unique}


def find_similar(columns: Sequence[str], sent: Iterable[str]) -> list[str]:
    """Return the names in *sent* that are similar, but not equal, to a column name.

    Other names in *sent* that are not columns do not affect the result of `match_names`.
    """
    known, normalize = set(columns), _normalizer(columns)
    texts = set(map(normalize_name, columns))
    return [name for name in sent if name not in known and normalize(name) in texts]


def _normalizer(columns: Sequence[str]) -> Callable[[str], str]:
    is_numbered = all(column == f"x{index}" for index, column in enumerate(columns))
    return "x{}".format if is_numbered else normalize_name


def find_labels(labels: Iterable[Hashable], columns: Sequence[str]) -> dict[str, Hashable]:
    """Return a mapping of column names to the labels in *labels* that stand for them.

    If a label stands for none of *columns*, its key is the text of the label. Labels that are neither text
    nor whole numbers are left out.

    Args:
        labels: Column labels of a DataFrame.
        columns: Column names of a schema.
    """
    texts = {str(label): label for label in labels if isinstance(label, str | int)}
    aliases = match_names(columns, texts)
    return {aliases.get(text, text): label for text, label in texts.items()}
