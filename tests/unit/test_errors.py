"""The tree of errors."""

import re

import pytest

from modelgate import errors
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
JOINT = "AnswerableError"
"""The common part of the two halves of the tree, which the drawing leaves out."""


def drawn():
    """What the docstring draws: for each class its parent, and the status beside it."""
    tree, path = {}, []
    for line in errors.__doc__.splitlines():
        found = re.fullmatch(r"( *)[*+.-] (\w+)(?: {2,}(.*))?", line)
        if found is None:
            continue
        depth = len(found[1]) // 2
        path[depth:] = [found[2]]
        tree[found[2]] = path[depth - 1] if depth else None, re.match(r"\d{3}|", found[3] or "")[0]
    return tree


def parent(name):
    """The nearest class above that is drawn."""
    above = [cls.__name__ for cls in CLASSES[name].__mro__[1:] if cls.__name__ in CLASSES]
    return next((cls for cls in above if cls != JOINT), None)


def test_the_tree_is_the_one_drawn():
    """The classes, and what they derive from, are those the docstring draws."""

    assert {name: above for name, (above, _) in drawn().items()} == {
        name: parent(name) for name in CLASSES if name != JOINT
    }


def test_the_statuses_are_those_drawn():
    """Each class has the status drawn beside it; where none is, its parent's."""
    tree = drawn()
    for name in ("ModelgateError", "ConfigurationError", "RequestError", "ServingError"):
        del tree[name]
    for name, (above, status) in tree.items():
        expected = int(status) if status else CLASSES[above].status

        assert expected == CLASSES[name].status, name


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_a_status_says_whose_fault_it_is(name):
    """4xx is the caller's fault, 5xx the server's."""
    for half, hundred in ((RequestError, 4), (ServingError, 5)):
        if issubclass(CLASSES[name], half):
            assert hundred == CLASSES[name].status // 100


def test_all_is_the_tree():
    """Everything drawn is exported."""

    assert sorted(drawn()) == sorted(errors.__all__)


def test_codes_are_distinct():
    """A program tells errors apart by their code."""
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
def test_an_error_says_what_is_wrong_in_attributes(error, attributes):
    """Nobody need parse a message."""

    assert attributes == {name: getattr(error, name) for name in attributes}


def test_missing_columns_are_named_in_the_text_too():
    """A traceback names them; the message for the caller is the documented one."""
    error = MissingColumns(["a", "b"])

    assert "missing input columns: a, b" == str(error)
    assert "Prediction failed due to missing input data" == error.message


def test_details_are_the_errors_own():
    """A mapping given to two errors is not changed through one of them."""
    details = {"a": 1}
    RequestError("x", details=details).details["b"] = 2

    assert {"a": 1} == details
