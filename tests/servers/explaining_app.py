"""A gate that explains its predictions."""

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from modelgate import Deployment, Gate, ModelPackage
from support.servers import KEY

frame = pd.DataFrame({"age": np.arange(20, 60.0), "plan": ["free", "pro"] * 20})
columns = make_column_transformer((StandardScaler(), ["age"]), (OneHotEncoder(), ["plan"]))
model = make_pipeline(columns, LogisticRegression()).fit(frame, np.where(frame["age"] > 40, "yes", "no"))
package = ModelPackage.from_estimator(model, frame, target="churn", positive_class="yes")
app = Gate([Deployment("churn", package, explanations="auto")], keys={KEY: "churn"}).asgi
