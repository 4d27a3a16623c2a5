"""Types and functions that modelgate trusts in skops files, beyond those that skops trusts by default.

The list is fixed: a list derived from the file, with ``skops.io.get_untrusted_types``, would trust everything
in the file. A file may refer to the listed names, and restore instances of the types with ``__new__`` and
``__setstate__``. It must not make skops call a listed name with arguments from the file (see `skops_file`).
A name may be added if it is

- a type that only stores data when it is created: its ``__new__`` and ``__setstate__`` open no files, import
  nothing and evaluate no text. They do not check the data, so hostile trees, distances and splines can crash
  the process when the model predicts;
- a function that only computes, for any arguments. It must not fit an estimator, because a pipeline with
  ``memory=`` loads pickles from a folder when it is fitted.
"""

from collections.abc import Mapping

__all__ = ["FIT_ATTRIBUTES", "FIT_PARAMETERS", "TRUSTED"]

_ESTIMATOR_PARTS = (
    # Fitted models by name.
    "modelgate.models.multi_target.MultiTarget",
    # Estimators that skops lacks because they are experimental: searches, an imputer.
    "sklearn.impute._iterative.IterativeImputer",
    "sklearn.model_selection._search_successive_halving.HalvingGridSearchCV",
    "sklearn.model_selection._search_successive_halving.HalvingRandomSearchCV",
    # Private estimators inside public ones.
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    "sklearn.multiclass._ConstantPredictor",
    # A named tuple, a list, a dict, and objects whose classes define no code that runs when they are created.
    "sklearn.cluster._bisect_k_means._BisectingTree",
    "sklearn.compose._column_transformer._RemainderColsList",  # scikit-learn 1.6
    "sklearn.compose._column_transformer.make_column_selector",
    "sklearn.impute._iterative._ImputerTriplet",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.utils._bunch.Bunch",
    "sklearn.utils._metadata_requests.MetadataRequest",
    "sklearn.utils._metadata_requests.MethodMetadataRequest",
    # Numbers: losses, and arrays of nodes.
    "sklearn._loss.loss.HalfTweedieLoss",
    "sklearn._loss.loss.HalfTweedieLossIdentity",
    *(
        f"sklearn.ensemble._gb_losses.{name}"  # until scikit-learn 1.3
        for name in (
            *("BinomialDeviance", "ExponentialLoss", "HuberLossFunction", "LeastAbsoluteError"),
            *("LeastSquaresError", "MultinomialDeviance", "QuantileLossFunction"),
        )
    ),
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.tree._tree.Tree",
)

# PyFuncDistance is missing: it calls a function of the file.
_DISTANCES = tuple(
    f"sklearn.metrics._dist_metrics.{name}Distance64"
    for name in (
        *("BrayCurtis", "Canberra", "Chebyshev", "Dice", "Euclidean", "Hamming", "Haversine", "Jaccard"),
        *("Mahalanobis", "Manhattan", "Minkowski", "RogersTanimoto", "RussellRao", "SEuclidean"),
        *("SokalMichener", "SokalSneath"),
    )
)

# Formulas over arrays, with hyperparameters as attributes.
_KERNELS = tuple(
    f"sklearn.gaussian_process.kernels.{name}"
    for name in (
        *("CompoundKernel", "ConstantKernel", "DotProduct", "ExpSineSquared", "Exponentiation", "Matern"),
        *("PairwiseKernel", "Product", "RBF", "RationalQuadratic", "Sum", "WhiteKernel"),
    )
)

# The defaults of searches and selectors, which only fitting uses. `FIT_PARAMETERS` replaces others.
_FOR_FITTING = (
    "sklearn.feature_selection._univariate_selection.f_classif",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.StratifiedKFold",
)

# TunedThresholdClassifierCV reads the signature of its metric to find the positive class. A scorer calls an
# estimator's predict, but only if it is called itself.
_SCORERS = (
    "sklearn.metrics._scorer._CurveScorer",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.metrics._scorer._Scorer",
    *(
        f"sklearn.metrics._classification.{name}"
        for name in (
            *("accuracy_score", "balanced_accuracy_score", "cohen_kappa_score", "f1_score", "fbeta_score"),
            *("jaccard_score", "matthews_corrcoef", "precision_score", "recall_score"),
        )
    ),
)

_NUMPY_AND_SCIPY = (
    # Names of dtypes: make_column_selector(dtype_include=…), encoders.
    "builtins.object",
    "numpy.dtype",
    "numpy.number",
    # Arithmetic: FeatureAgglomeration(pooling_func=…), FunctionTransformer.
    *(
        f"numpy.{name}"
        for name in ("clip", "max", "mean", "median", "min", "nan_to_num", "round", "std", "sum")
    ),
    # Knots and coefficients of SplineTransformer. Some versions of SciPy store numpy.asarray in a BSpline.
    "scipy.interpolate._bsplines.BSpline",
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    # Training rows of neighbors and support vectors. Loaded by scipy.sparse.load_npz, which reads no pickles.
    "scipy.sparse._csr.csr_matrix",
    "scipy.sparse._csr.csr_array",
    # Categorical columns of HistGradientBoosting. A partial is only as powerful as the function in it, and
    # check_array converts its argument to an array of numbers.
    "functools.partial",
    "sklearn.utils.validation.check_array",
)

TRUSTED = (*_ESTIMATOR_PARTS, *_DISTANCES, *_KERNELS, *_FOR_FITTING, *_SCORERS, *_NUMPY_AND_SCIPY)

FIT_PARAMETERS: Mapping[str, object] = {
    "cv": None,
    "param_distributions": None,
    "param_grid": None,
    "refit": True,
    "score_func": None,
    "scoring": None,
}
"""Parameters that only fitting and scoring use, each with the value that replaces an untrusted one."""

FIT_ATTRIBUTES = frozenset(
    {
        "best_params_",
        "cv_results_",
        "scorer_",
        "_checked_cv_orig",
        "_kmeans_single",
        "_raw_predict",
        "_scorer",
    }
)
"""Attributes that only fitting and scoring use. scikit-learn leaves its method ``_raw_predict`` as an
attribute after it fits a histogram-based gradient boosting with early stopping."""
