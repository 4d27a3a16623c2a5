"""Exceptions."""

import pickle
import re

import pytest

from modelgate import errors
from modelgate.client import UnexpectedResponse
from modelgate.errors import (
    BodyTooLarge,
    InvalidValues,
    MethodNotAllowed,
    MissingColumns,
    ModelgateError,
    RateLimitExceeded,
    RequestError,
    ServingError,
)

CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, ModelgateError)
}
COMMON_BASE = "AnswerableError"
"""Base class of both halves of the tree, which is not in the docstring."""


def parse_docstring():
    """Return the parent and the status of each class in the module docstring."""
    tree, path = {}, []
    for line in errors.__doc__.splitlines():
        match = re.fullmatch(r"( *)[*+.-] (\w+)(?: {2,}(.*))?", line)
        if match is None:
            continue
        depth = len(match[1]) // 2
        path[depth:] = [match[2]]
        tree[match[2]] = path[depth - 1] if depth else None, re.match(r"\d{3}|", match[3] or "")[0]
    return tree


def find_parent(name):
    """Return the nearest base class that is in the docstring."""
    bases = [cls.__name__ for cls in CLASSES[name].__mro__[1:] if cls.__name__ in CLASSES]
    return next((cls for cls in bases if cls != COMMON_BASE), None)


def test_docstring_shows_the_class_tree():
    assert {name: base for name, (base, _) in parse_docstring().items()} == {
        name: find_parent(name) for name in CLASSES if name != COMMON_BASE
    }


def test_docstring_shows_the_statuses():
    """A class without a status in the docstring has that of its parent."""
    tree = parse_docstring()
    for name in ("ModelgateError", "ConfigurationError", "RequestError", "ServingError"):
        del tree[name]
    for name, (base, status) in tree.items():
        expected = int(status) if status else CLASSES[base].status

        assert expected == CLASSES[name].status, name


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_status_class_matches_the_base_class(name):
    """4xx is the caller's fault, 5xx the server's."""
    for half, hundred in ((RequestError, 4), (ServingError, 5)):
        if issubclass(CLASSES[name], half):
            assert hundred == CLASSES[name].status // 100


def test_all_contains_the_class_tree():
    assert sorted(parse_docstring()) == sorted(errors.__all__)


def test_codes_are_distinct():
    codes = [cls.code for name, cls in CLASSES.items() if hasattr(cls, "code") and name != "RequestError"]

    assert sorted(set(codes)) == sorted(codes)


@pytest.mark.parametrize(
    ("error", "attributes"),
    [
        (MissingColumns(["a", "b"]), {"details": {"missing_columns": ["a", "b"]}, "errors": {}}),
        (InvalidValues({"a": "must be text"}), {"details": {"errors": {"a": "must be text"}}}),
        (MethodNotAllowed(["GET", "POST"]), {"headers": {"allow": "GET, POST"}}),
        (BodyTooLarge(10), {"limit": 10}),
        (
            RateLimitExceeded("1/minute", 5, {"x-a": "b"}),
            {"retry_after": 5, "headers": {"x-a": "b", "retry-after": "5"}},
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_have_attributes(error, attributes):
    """So nobody needs to parse messages."""

    assert attributes == {name: getattr(error, name) for name in attributes}


def test_missing_columns_are_in_the_traceback():
    """The message for the caller is the documented one."""
    error = MissingColumns(["a", "b"])

    assert "missing input columns: a, b" == str(error)
    assert "Prediction failed due to missing input data" == error.message


def test_details_are_copied():
    details = {"a": 1}
    RequestError("x", details=details).details["b"] = 2

    assert {"a": 1} == details


@pytest.mark.parametrize(
    "error",
    [
        MissingColumns(["age"]),
        InvalidValues({"age": "must be a number (row 0)"}),
        UnexpectedResponse(200, "x"),
    ],
)
def test_error_of_another_process_arrives_as_it_was_raised(error):
    error.add_note("a note")
    copy = pickle.loads(pickle.dumps(error))

    assert (type(error), error.args, vars(error)) == (type(copy), copy.args, vars(copy))
