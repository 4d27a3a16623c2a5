"""CSV as R, pandas and other programs write it, through every mount."""

import numpy as np
import pandas
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression

from modelgate import ConfigurationError, Deployment, Gate, ModelPackage, Schema
from support.keys import KEY
from support.mounts import Mounted

FRAME = pandas.DataFrame({"age": np.arange(60.0) % 7, "income": np.arange(60.0)})
MODEL = HistGradientBoostingRegressor(max_iter=5, min_samples_leaf=2).fit(FRAME, FRAME["income"] * 3)
ARRAY_MODEL = LinearRegression().fit(FRAME.to_numpy(), FRAME["income"] * 3)


def post_csv(mount, deployment, body, path="/endpoints/m/invocations"):
    mounted = Mounted(mount, Gate([deployment], keys={KEY: "m"}))
    headers = {"content-type": "text/csv", "authorization": f"Bearer {KEY}"}
    return mounted.post(path, body=body, headers=headers)


@pytest.mark.slow
@pytest.mark.parametrize("na", ["NA", "NaN", "null", "NULL", ""])
def test_null_of_a_csv_file_is_null(mount, na):
    """In columns that may be null: the model was given them in training."""
    rows = FRAME.assign(age=FRAME["age"].mask(FRAME["age"] > 4))[:8]
    answer = post_csv(mount, Deployment("m", MODEL), rows.to_csv(index=False, na_rep=na).encode())

    assert MODEL.predict(rows).tolist() == answer.json()["predictions"]


def test_null_of_a_csv_file_is_rejected_where_null_is(mount):
    answer = post_csv(mount, Deployment("m", ARRAY_MODEL), b"x0,x1\n1,2\nNA,3\n")

    assert (400, "Invalid input data: x0 must not be null (row 1)") == (
        answer.status,
        answer.json()["message"],
    )


def test_deployment_sets_the_cells_that_mean_null(mount):
    answer = post_csv(mount, Deployment("m", MODEL, na_values=["?"]), b"age,income\n?,3\n1,4\n")

    expected = pandas.DataFrame({"age": [np.nan, 1.0], "income": [3.0, 4.0]})
    assert MODEL.predict(expected).tolist() == answer.json()["predictions"]


def test_csv_without_a_header_is_reported_as_such(mount):
    for body in (b"5.1,3.5\n4.9,3.0\n", b"1,1\n", b'"5.1","3.5"\n'):
        answer = post_csv(mount, Deployment("m", ARRAY_MODEL), body)
        expected = (
            "Line 1 of the CSV body was read as the header, but looks like data: send a line with the column"
            " names first, x0,x1"
        )
        assert (400, expected) == (answer.status, answer.json()["message"])


@pytest.mark.parametrize(
    "options",
    [{"csv_header": False}, {"schema": Schema.from_model(MODEL).with_options(csv_header=False)}],
    ids=["deployment", "schema"],
)
def test_csv_without_a_header_is_scored_if_the_deployment_says_so(mount, options):
    rows = FRAME[:8].mask(FRAME[:8] == 3)
    body = rows.to_csv(index=False, header=False, na_rep="NA").encode()

    assert (
        MODEL.predict(rows).tolist()
        == post_csv(mount, Deployment("m", MODEL, **options), body).json()["predictions"]
    )


def test_package_is_scored_without_a_header_before_and_after_it_is_loaded(mount, tmp_path):
    ModelPackage.from_estimator(ARRAY_MODEL, FRAME.to_numpy()).save(tmp_path / "m.mgpkg")
    deployment = Deployment("m", tmp_path / "m.mgpkg", csv_header=False)
    mounted = Mounted(mount, Gate([deployment], keys={KEY: "m"}))
    headers = {"content-type": "text/csv", "x-api-key": KEY}

    for _ in range(2):
        answer = mounted.post("/endpoints/m/invocations", body=b"1,2\n1,3\n", headers=headers)
        assert pytest.approx([6.0, 9.0]) == answer.json()["predictions"]


def test_passthrough_columns_of_csv_without_a_header_have_the_names_of_the_schema(mount):
    path = "/deployments/m/predictions?passthroughColumns=age"
    answer = post_csv(mount, Deployment("m", MODEL, csv_header=False), b"1,2\nNA,3\n", path)

    assert [{"age": 1}, {"age": "NA"}] == [row["passthroughValues"] for row in answer.json()["data"]]


@pytest.mark.parametrize("options", [{"csv_header": None}, {"csv_header": 1}, {"na_values": "NA"}])
def test_wrong_options_are_rejected(options):
    with pytest.raises(ConfigurationError, match=f"{next(iter(options))} must be"):
        Deployment("m", MODEL, **options)
