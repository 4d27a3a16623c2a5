"""Reading a model from a file, without running what nobody vouched for."""

import hashlib
import hmac
import io
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError

__all__ = ["SUFFIXES", "check_file", "load_model"]

SUFFIXES = (".skops", ".joblib")

# What skops does not know and scikit-learn's own estimators are made of. The list is ours: taken
# from the file, as skops.io.get_untrusted_types offers, it would let the file trust itself.
_TRUSTED = (
    "numpy.dtype",
    "sklearn._loss.loss.HalfTweedieLossIdentity",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.feature_selection._univariate_selection.f_classif",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.tree._tree.Tree",
)


def check_file(path: Path, sha256: str | None) -> None:
    """Raises `ConfigurationError` where *path* is not a file that `load_model` would try to load."""
    if path.suffix not in SUFFIXES:
        raise ConfigurationError(f"model={str(path)!r}: accepts files ending in {' or '.join(SUFFIXES)}")
    if not path.is_file():
        raise ConfigurationError(f"model={str(path)!r}: there is no such file")
    if sha256 is not None and not (len(sha256) == 64 and set(sha256.lower()) <= set("0123456789abcdef")):
        raise ConfigurationError(f"sha256={sha256!r}: accepts 64 hexadecimal digits")
    if path.suffix == ".joblib" and sha256 is None:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        raise ConfigurationError(
            f"model={str(path)!r} is a pickle, and loading a pickle runs the code in it. If you made this"
            f' file, pin it: sha256="{digest}". Or save it with skops, which runs none.'
        )


def load_model(path: str | Path, *, sha256: str | None = None) -> Any:
    """The fitted model in the file *path*.

    Args:
        path: a ``.skops`` file, of which only scikit-learn's own types are loaded, or a
            ``.joblib`` file, which is a pickle and needs *sha256*.
        sha256: the digest the file must have. It is taken of the very bytes that are loaded.

    Raises:
        ConfigurationError: there is no such file, it is of neither kind, it is not the file pinned,
            it needs a pin, or it holds types that are not trusted.
    """
    path = Path(path)
    check_file(path, sha256)
    content = path.read_bytes()
    if sha256 is not None:
        digest = hashlib.sha256(content).hexdigest()
        if not hmac.compare_digest(digest, sha256.lower()):
            raise ConfigurationError(f"model={str(path)!r}: its digest is {digest}, not the one pinned")
    read = _read_skops if path.suffix == ".skops" else _read_joblib
    try:
        return read(content)
    except ConfigurationError as error:
        raise ConfigurationError(f"model={str(path)!r}: {error}") from None
    except Exception as error:
        raise ConfigurationError(f"model={str(path)!r}: cannot be read: {error!r}") from error


def _read_skops(content: bytes) -> Any:
    try:
        import skops.io
    except ImportError:
        raise ConfigurationError('reading .skops files needs skops: pip install "modelgate[skops]"') from None
    foreign = sorted(set(skops.io.get_untrusted_types(data=content)) - set(_TRUSTED))
    if foreign:
        raise ConfigurationError(f"holds types that are not trusted: {', '.join(foreign)}")
    return skops.io.loads(content, trusted=list(_TRUSTED))


def _read_joblib(content: bytes) -> Any:
    try:
        import joblib
    except ImportError:
        raise ConfigurationError(
            'reading .joblib files needs scikit-learn: pip install "modelgate[sklearn]"'
        ) from None
    return joblib.load(io.BytesIO(content))
