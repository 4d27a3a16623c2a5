"""Estimators inside of others: pipelines, columns, searches, ensembles, several outputs."""

import numpy as np
import pandas
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.experimental import enable_iterative_imputer  # noqa: F401  registers IterativeImputer
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.feature_selection import RFE, SelectFromModel, SelectKBest
from sklearn.impute import IterativeImputer, KNNImputer, MissingIndicator, SimpleImputer
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import (
    ElasticNet,
    LinearRegression,
    LogisticRegression,
    Ridge,
    RidgeCV,
    SGDClassifier,
)
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, MultiOutputRegressor, RegressorChain
from sklearn.naive_bayes import BernoulliNB, GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC, SVR, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from support.answers import BLAS, EXACT, assert_same_predictions
from support.fitting import quiet_fit
from support.versions import SKLEARN

RANDOM = np.random.default_rng(0)
FRAME = pandas.DataFrame(
    {
        "age": RANDOM.integers(18, 80, 60),
        "income": RANDOM.normal(3000, 900, 60).round(2),
        "plan": RANDOM.choice(["free", "pro", "team, large"], 60),
        "city": RANDOM.choice(["Aachen", "Köln", 'the "Hague"', "10115"], 60),
    }
)
HOLED = FRAME.mask(RANDOM.random(FRAME.shape) < 0.15)
NUMBERS = FRAME[["age", "income"]]
HOLED_NUMBERS = HOLED[["age", "income"]]
TEXTS = ["plan", "city"]
PRICE = (FRAME["income"] / 7 + FRAME["age"]).to_numpy()
STAYS = np.array(["no", "yes"])[((FRAME["age"] > 45) ^ (FRAME["plan"] == "pro")).to_numpy().astype(int)]
GRADE = np.array([10, 20, 30])[np.digitize(PRICE, np.quantile(PRICE, [0.3, 0.6]))]
LABEL_PAIRS = np.column_stack([STAYS == "yes", GRADE > 10]).astype(int)
GRADE_PAIRS = np.column_stack([GRADE, LABEL_PAIRS[:, 0]])
PRICES = np.column_stack([PRICE, FRAME["age"] * 2.0])


def logistic():
    return make_pipeline(StandardScaler(), LogisticRegression())


def encode(encoder=None, number="passthrough", **options):
    """Return a transformer of the texts and numbers of ``FRAME``."""
    encoder = OneHotEncoder(handle_unknown="ignore") if encoder is None else encoder
    return ColumnTransformer([("text", encoder, TEXTS), ("number", number, ["age", "income"])], **options)


def impute():
    """Return a transformer of ``HOLED``."""
    texts = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    return encode(texts, numbers)


def ordinal():
    """Return a transformer of ``HOLED`` that keeps nulls."""
    return encode(OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1))


def on_text(vectorizer):
    """Return a transformer that reads one column of texts and scales the numbers."""
    return ColumnTransformer([("words", vectorizer, "city"), ("number", MinMaxScaler(), ["age", "income"])])


def small_forest():
    return RandomForestClassifier(5, random_state=0)


CASES = {
    # Encoders and imputers
    "one-hot": (make_pipeline(encode(), LogisticRegression(max_iter=5000)), FRAME, STAYS),
    "one-hot, dense": (make_pipeline(encode(OneHotEncoder(sparse_output=False)), Ridge()), FRAME, PRICE),
    "one-hot, infrequent": (
        make_pipeline(encode(OneHotEncoder(min_frequency=12, handle_unknown="infrequent_if_exist")), Ridge()),
        FRAME,
        PRICE,
    ),
    "ordinal": (make_pipeline(ordinal(), small_forest()), FRAME, GRADE),
    "target": (make_pipeline(encode(TargetEncoder(cv=2)), small_forest()), FRAME, STAYS),
    "imputed": (make_pipeline(impute(), LogisticRegression()), HOLED, STAYS),
    "imputed, most frequent first": (
        make_pipeline(
            SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"), Ridge()
        ),
        HOLED[TEXTS],
        PRICE,
    ),
    "neighbours impute": (make_pipeline(KNNImputer(n_neighbors=3), Ridge()), HOLED_NUMBERS, PRICE),
    "iterative imputer": (make_pipeline(IterativeImputer(max_iter=3), Ridge()), HOLED_NUMBERS, PRICE),
    "missing indicator": (
        make_pipeline(make_union(SimpleImputer(), MissingIndicator(features="all")), small_forest()),
        HOLED_NUMBERS,
        STAYS,
    ),
    "nulls to boosting": (make_pipeline(ordinal(), HistGradientBoostingClassifier(max_iter=5)), HOLED, STAYS),
    "column selectors": (
        make_pipeline(
            ColumnTransformer(
                [
                    ("text", OneHotEncoder(), make_column_selector(dtype_exclude="number")),
                    ("number", RobustScaler(), make_column_selector(dtype_include="number")),
                ]
            ),
            LogisticRegression(),
        ),
        FRAME,
        STAYS,
    ),
    "columns dropped": (
        make_pipeline(ColumnTransformer([("number", StandardScaler(), ["age"])]), LogisticRegression()),
        FRAME,
        STAYS,
    ),
    "columns nested": (
        make_pipeline(
            encode(make_pipeline(OneHotEncoder(), TruncatedSVD(2, random_state=0))), small_forest()
        ),
        FRAME,
        STAYS,
    ),
    "pandas between steps": (
        make_pipeline(
            encode(OneHotEncoder(sparse_output=False), verbose_feature_names_out=False).set_output(
                transform="pandas"
            ),
            small_forest(),
        ),
        FRAME,
        STAYS,
    ),
    "categories of boosting": (
        HistGradientBoostingRegressor(max_iter=5, categorical_features=TEXTS),
        FRAME.astype(dict.fromkeys(TEXTS, "category")),
        PRICE,
    ),
    # Texts
    "count vectorizer": (make_pipeline(on_text(CountVectorizer()), MultinomialNB()), FRAME, STAYS),
    "tf-idf of letters": (
        make_pipeline(on_text(TfidfVectorizer(analyzer="char")), LogisticRegression()),
        FRAME,
        STAYS,
    ),
    "hashing vectorizer": (make_pipeline(on_text(HashingVectorizer(n_features=16)), Ridge()), FRAME, PRICE),
    # Numbers
    "powers and splines": (
        make_pipeline(make_union(PolynomialFeatures(2), SplineTransformer()), StandardScaler(), Ridge()),
        NUMBERS,
        PRICE,
    ),
    "bins": (
        make_pipeline(KBinsDiscretizer(3, strategy="uniform"), BernoulliNB()),
        NUMBERS,
        STAYS,
    ),
    "power transformer": (make_pipeline(PowerTransformer(), GaussianNB()), NUMBERS, STAYS),
    "quantile transformer": (
        make_pipeline(QuantileTransformer(n_quantiles=20), LinearRegression()),
        NUMBERS,
        PRICE,
    ),
    "function": (make_pipeline(FunctionTransformer(np.log1p), LogisticRegression()), NUMBERS, STAYS),
    "components": (make_pipeline(StandardScaler(), PCA(2), KNeighborsClassifier(3)), NUMBERS, GRADE),
    "kernel approximation": (
        make_pipeline(
            MaxAbsScaler(), Nystroem(n_components=5, random_state=0), SGDClassifier(random_state=0)
        ),
        NUMBERS,
        STAYS,
    ),
    "selected columns": (
        make_pipeline(SelectKBest(k=1), SelectFromModel(DecisionTreeClassifier()), LogisticRegression()),
        NUMBERS,
        STAYS,
    ),
    "elimination": (RFE(ElasticNet(), n_features_to_select=1), NUMBERS, PRICE),
    "normalized neighbours": (make_pipeline(Normalizer(), KNeighborsRegressor(3)), NUMBERS, PRICE),
    "network": (
        make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(5,), max_iter=50, random_state=0)),
        NUMBERS,
        PRICE,
    ),
    "clusters": (make_pipeline(encode(), KMeans(3, n_init=1, random_state=0)), FRAME, None),
    "outliers": (make_pipeline(encode(), IsolationForest(n_estimators=5, random_state=0)), FRAME, None),
    # Several classes
    "one against the rest": (
        OneVsRestClassifier(make_pipeline(impute(), LogisticRegression())),
        HOLED,
        GRADE,
    ),
    "one against one": (make_pipeline(encode(), OneVsOneClassifier(LinearSVC())), FRAME, GRADE),
    "output code": (
        OutputCodeClassifier(make_pipeline(encode(), LogisticRegression()), random_state=0),
        FRAME,
        GRADE,
    ),
    "several labels": (
        OneVsRestClassifier(make_pipeline(encode(), LogisticRegression())),
        FRAME,
        LABEL_PAIRS,
    ),
    "a label that is always present": (
        OneVsRestClassifier(make_pipeline(encode(), LogisticRegression())),
        FRAME,
        np.column_stack([np.ones(60, int), STAYS == "yes"]),
    ),
    # Several outputs
    "output by output": (MultiOutputClassifier(make_pipeline(encode(), small_forest())), FRAME, LABEL_PAIRS),
    "outputs with different classes": (
        MultiOutputClassifier(make_pipeline(encode(), LogisticRegression())),
        FRAME,
        GRADE_PAIRS,
    ),
    "forest with different classes": (small_forest(), NUMBERS, GRADE_PAIRS),
    "numbers by number": (MultiOutputRegressor(make_pipeline(encode(), Ridge())), FRAME, PRICES),
    "chain of classes": (ClassifierChain(logistic()), NUMBERS, LABEL_PAIRS),
    "chain of numbers": (RegressorChain(DecisionTreeRegressor(max_depth=3)), NUMBERS, PRICES),
    # Ensembles of others
    "calibrated": (CalibratedClassifierCV(make_pipeline(encode(), LinearSVC()), cv=2), FRAME, GRADE),
    "soft voting": (
        VotingClassifier([("a", logistic()), ("b", small_forest())], voting="soft"),
        NUMBERS,
        GRADE,
    ),
    "hard voting": (VotingClassifier([("a", logistic()), ("b", GaussianNB())]), NUMBERS, GRADE),
    "voting numbers": (
        VotingRegressor(
            [("a", make_pipeline(encode(), Ridge())), ("b", make_pipeline(ordinal(), RidgeCV()))]
        ),
        FRAME,
        PRICE,
    ),
    "stacking": (
        StackingClassifier([("a", make_pipeline(encode(), small_forest()))], LogisticRegression(), cv=2),
        FRAME,
        STAYS,
    ),
    "stacking, passthrough": (
        StackingRegressor([("a", RidgeCV()), ("b", SVR())], cv=2, passthrough=True),
        NUMBERS,
        PRICE,
    ),
    "bagging": (BaggingClassifier(logistic(), 3, random_state=0), NUMBERS, GRADE),
    "bagging of pipelines": (
        BaggingRegressor(make_pipeline(StandardScaler(), Ridge()), 3, max_features=1, random_state=0),
        NUMBERS,
        PRICE,
    ),
    "boosted logistic": (AdaBoostClassifier(LogisticRegression(), n_estimators=3), NUMBERS, STAYS),
    # Searches, thresholds and targets
    "grid search": (
        GridSearchCV(
            make_pipeline(encode(), small_forest()), {"randomforestclassifier__max_depth": [2, 3]}, cv=2
        ),
        FRAME,
        STAYS,
    ),
    "random search": (RandomizedSearchCV(Ridge(), {"alpha": [1.0, 2.0]}, n_iter=1, cv=2), NUMBERS, PRICE),
    "search in a pipeline": (
        make_pipeline(encode(), GridSearchCV(LogisticRegression(), {"C": [1, 2]}, cv=2)),
        FRAME,
        STAYS,
    ),
    "transformed target": (
        TransformedTargetRegressor(make_pipeline(encode(), Ridge()), func=np.log1p, inverse_func=np.expm1),
        FRAME,
        PRICE,
    ),
    "scaled target": (
        TransformedTargetRegressor(ExtraTreesRegressor(5, random_state=0), transformer=StandardScaler()),
        NUMBERS,
        PRICE,
    ),
    "kernel machine with probabilities": (make_pipeline(encode(), SVC()), FRAME, GRADE),
    "boosted trees": (
        make_pipeline(encode(), GradientBoostingClassifier(n_estimators=5)),
        FRAME,
        GRADE,
    ),
    "forest of numbers": (make_pipeline(ordinal(), RandomForestRegressor(5, random_state=0)), HOLED, PRICE),
}

if SKLEARN < (1, 4):
    # Boosting takes no text, and forests no nulls.
    del CASES["categories of boosting"], CASES["forest of numbers"]

if SKLEARN >= (1, 5):
    from sklearn.model_selection import TunedThresholdClassifierCV

    CASES["tuned threshold"] = (
        TunedThresholdClassifierCV(make_pipeline(encode(), LogisticRegression()), cv=2),
        FRAME,
        (STAYS == "yes").astype(int),
    )

if SKLEARN >= (1, 6):
    from sklearn.frozen import FrozenEstimator

    frozen = FrozenEstimator(quiet_fit(make_pipeline(encode(), small_forest()), FRAME, STAYS))
    CASES["frozen"] = (frozen, FRAME, STAYS)
    CASES["calibrated, frozen"] = (CalibratedClassifierCV(frozen, method="isotonic"), FRAME, STAYS)
OF_TREES = {
    "boosted trees",
    "chain of numbers",
    "forest of numbers",
    "forest with different classes",
    "nulls to boosting",
    "ordinal",
}
"""Cases that compute nothing but trees: they are the same to the last bit."""

ARRAYS = [name for name, (_, rows, _) in CASES.items() if rows is NUMBERS or rows is HOLED_NUMBERS]


@pytest.mark.parametrize(
    ("name", "form"), [*((name, "frame") for name in CASES), *((name, "array") for name in ARRAYS)]
)
def test_composition_is_answered_as_it_answers_itself(name, form):
    estimator, frame, target = CASES[name]
    rows = frame.to_numpy() if form == "array" else frame
    model = quiet_fit(clone(estimator), rows, target)

    assert_same_predictions(model, rows, EXACT if name in OF_TREES else BLAS)
