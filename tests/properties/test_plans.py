"""Plans compared with their estimators, for random models and rows."""

import warnings

import numpy as np
import pandas
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)
from sklearn.tree import DecisionTreeClassifier

from modelgate.errors import PredictionError
from modelgate.flow import drive
from modelgate.inference import Predictor
from modelgate.schema import Column, Schema
from support.plans import is_planned

LEVELS = ["red", "green", "blue"]
SCALERS = [StandardScaler, RobustScaler, MaxAbsScaler, MinMaxScaler, lambda: MinMaxScaler(clip=True), None]
ENCODERS = [
    OneHotEncoder,
    lambda: OneHotEncoder(handle_unknown="ignore"),
    lambda: OneHotEncoder(sparse_output=False, drop="first"),
    lambda: OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
]
CLASSIFIERS = [
    lambda: LogisticRegression(max_iter=20),
    lambda: RandomForestClassifier(5, random_state=0),
    lambda: DecisionTreeClassifier(max_depth=4),
    lambda: HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=2),
    lambda: GradientBoostingClassifier(n_estimators=3),
    GaussianNB,
]
REGRESSORS = [
    LinearRegression,
    Ridge,
    lambda: ExtraTreesRegressor(5, random_state=0),
    lambda: HistGradientBoostingRegressor(max_iter=3, min_samples_leaf=2),
]
TARGETS = [
    np.array(["no", "yes"]),
    np.array(["a", "b", "c", "dd"]),
    np.array([False, True]),
    np.array([3, 1, 2]),
]
SPECIAL = [0.0, -0.0, 1.0, -1e30, 1e300, 5e-324, 2.0**53]


@st.composite
def models(draw):
    """Draw a fitted pipeline of numbers and texts, and its columns."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    numbers = [f"n{index}" for index in range(draw(st.integers(0, 9)))]
    texts = [f"t{index}" for index in range(draw(st.integers(0 if numbers else 1, 3)))]
    rows = draw(st.integers(20, 60))
    frame = pandas.DataFrame(
        {name: random.normal(random.normal(scale=50), 10 ** random.normal(), rows) for name in numbers}
        | {name: random.choice(LEVELS, rows) for name in texts}
    )
    frame = frame[random.permutation(frame.columns)]
    nulls = draw(st.booleans())
    if nulls:
        frame = frame.mask(random.random(frame.shape) < 0.1)
    branches = _branches(draw, numbers, texts, imputed=nulls)
    last = draw(st.sampled_from(CLASSIFIERS + REGRESSORS))
    labels = draw(st.sampled_from(TARGETS)) if last in CLASSIFIERS else random.normal(size=9)
    target = np.concatenate([labels[:4], random.choice(labels, rows - len(labels[:4]))])
    model = make_pipeline(
        ColumnTransformer(branches, sparse_threshold=draw(st.sampled_from([0, 0.3]))), last()
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(frame, target), list(frame.columns)


def _branches(draw, numbers, texts, *, imputed):
    scaler, encoder = draw(st.sampled_from(SCALERS)), draw(st.sampled_from(ENCODERS))
    strategies = {"n": st.sampled_from(["mean", "median"]), "t": st.just("most_frequent")}
    branches = []
    for kind, names, create in (("n", numbers, scaler), ("t", texts, encoder)):
        step = "passthrough" if create is None else create()
        if imputed:
            imputer = SimpleImputer(
                strategy=draw(strategies[kind]), add_indicator=kind == "n" and draw(st.booleans())
            )
            step = make_pipeline(imputer, step)
        chosen = draw(st.permutations(names))
        if chosen:
            branches.append((kind, step, chosen[: draw(st.integers(1, len(chosen)))]))
    return draw(st.permutations(branches))


@st.composite
def tables(draw, columns, *, special):
    """Draw rows of *columns*, some with nulls, unknown levels and unusual numbers."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.one_of(st.integers(1, 12), st.integers(1, 300)))
    unusual_share = draw(st.sampled_from([0, 0.02, 0.3]))

    def cell(name):
        if random.random() < unusual_share:
            return random.choice([None, "pink"] if name[0] == "t" else [None, *special])
        return random.choice(LEVELS) if name[0] == "t" else random.normal(scale=60)

    return [{name: cell(name) for name in columns} for _ in range(count)]


def answer(predictor, table):
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            [output] = drive(predictor.predict(table)).outputs
    except PredictionError as error:
        return type(error.__cause__), str(error.__cause__)
    probabilities = output.probabilities
    return (
        output.values.dtype.str,
        output.values.tolist(),
        None if probabilities is None else probabilities.tolist(),
    )


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_plan_equals_its_estimator(data):
    """In any prediction and any error."""
    model, columns = data.draw(models())
    schema = Schema([Column(name, "text" if name[0] == "t" else "number", nullable=True) for name in columns])
    planned, alone = Predictor(model, schema), Predictor(model, schema, plans=False)

    is_planned(planned)
    for special in ([], SPECIAL):
        table = schema.read(data.draw(tables(columns, special=special)))
        assert answer(alone, table) == answer(planned, table)
