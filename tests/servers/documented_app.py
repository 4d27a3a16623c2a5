"""Gate with a classifier and a regressor, for clients that are generated from its OpenAPI documents."""

import os

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from modelgate import Column, Deployment, Gate, Schema

FRAME = pd.DataFrame({"age": np.arange(40) % 20 + 20.0, "plan": ["free", "pro"] * 20})
LABELS = np.where(FRAME["age"] > 30, "yes", "no")
SCHEMA = Schema.of(age=Column("age", minimum=0, maximum=120), plan=["free", "pro"])


def fit(model, target):
    columns = make_column_transformer(("passthrough", ["age"]), (OneHotEncoder(), ["plan"]))
    return make_pipeline(columns, model).fit(FRAME, target)


DEPLOYMENTS = [
    Deployment("churn", fit(LogisticRegression(), LABELS), schema=SCHEMA),
    Deployment("price", fit(LinearRegression(), FRAME["age"] * 2), schema=SCHEMA, endpoint="/how-much"),
    Deployment(
        "both",
        fit(MultiOutputClassifier(LogisticRegression()), np.c_[LABELS, FRAME["plan"]]),
        schema=SCHEMA,
        target=["churned", "chosen plan"],
    ),
]
KEYS = {os.environ["MODELGATE_KEY"]: "*"}
gate = Gate(DEPLOYMENTS, keys=KEYS)
churn_gate, price_gate, both_gate = (Gate([deployment], keys=KEYS) for deployment in DEPLOYMENTS)
