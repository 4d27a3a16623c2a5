"""Results of statsmodels predict through a gate as they predict themselves."""

import numpy as np
import pytest
import statsmodels.api
import statsmodels.formula.api

from modelgate import ConfigurationError, Schema
from support.category_frame import BINARY, PLAIN, PRICE, SHUFFLED, score

TRAINING = PLAIN.assign(price=PRICE, likes=BINARY)
WITH_CONSTANT = statsmodels.api.add_constant(PLAIN[["age", "rooms"]])
ROUNDING = {"rtol": 1e-12}
"""BLAS adds up in another order for another memory layout."""


@pytest.mark.parametrize("rows", [PLAIN, SHUFFLED], ids=["training order", "another order"])
@pytest.mark.parametrize(
    "fit",
    [
        lambda: statsmodels.formula.api.ols("price ~ np.log(age) + C(city) + rooms:age", TRAINING).fit(),
        lambda: statsmodels.formula.api.logit("likes ~ age + C(city)", TRAINING).fit(disp=False),
        lambda: statsmodels.formula.api.glm(
            "likes ~ age", TRAINING, family=statsmodels.api.families.Binomial()
        ).fit(),
    ],
    ids=["linear", "logit", "glm"],
)
def test_formula_gets_a_frame(fit, rows):
    model = fit()

    np.testing.assert_allclose(
        model.predict(PLAIN), score(model, rows, schema=Schema.from_sample(PLAIN)).values, **ROUNDING
    )


def test_formula_without_a_schema_is_rejected():
    model = statsmodels.formula.api.ols("price ~ age", TRAINING).fit()

    with pytest.raises(ConfigurationError, match=r"columns: fit the model, or set schema=Schema\.of"):
        score(model, PLAIN)


@pytest.mark.parametrize(
    "schema", [None, Schema.of(rooms=float, const=float, age=float)], ids=["of the model", "another order"]
)
def test_columns_of_a_frame_have_names(schema):
    """statsmodels itself takes the columns of any DataFrame by position."""
    model = statsmodels.api.OLS(PRICE, WITH_CONSTANT).fit()
    rows = WITH_CONSTANT[["rooms", "const", "age"]]

    assert ("const", "age", "rooms") == Schema.from_model(model).names
    np.testing.assert_allclose(
        model.predict(WITH_CONSTANT), score(model, rows, schema=schema).values, **ROUNDING
    )


@pytest.mark.parametrize(
    "schema", [None, Schema.of(const=float, a=float, b=float)], ids=["of the model", "by hand"]
)
def test_columns_of_an_array_have_positions(schema):
    array = WITH_CONSTANT.to_numpy()
    model = statsmodels.api.OLS(PRICE.to_numpy(), array).fit()

    assert ("x0", "x1", "x2") == Schema.from_model(model).names
    np.testing.assert_allclose(model.predict(array), score(model, array, schema=schema).values, **ROUNDING)


def test_several_outputs():
    model = statsmodels.api.MNLogit(PLAIN["city"], WITH_CONSTANT).fit(disp=False)
    outputs = score(model, WITH_CONSTANT).outputs

    np.testing.assert_allclose(
        model.predict(WITH_CONSTANT), np.column_stack([output.values for output in outputs]), **ROUNDING
    )
