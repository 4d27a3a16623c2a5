"""Plans for naive Bayes classifiers."""

from functools import partial
from typing import Any

import numpy as np

from ...schema import Table
from .base import FeatureSource, Numbers, PlanOutput, PredictFn, ReadFn, register_predictor, reject_nonfinite
from .linear import score_reader
from .link_functions import argmax_labels

__all__: list[str] = []

_MODULE = "sklearn.naive_bayes"


@register_predictor(_MODULE, "GaussianNB")
def _plan_gaussian(step: Any, source: FeatureSource) -> PredictFn:
    parts = [
        (np.log(prior), -0.5 * np.sum(np.log(2.0 * np.pi * variance)), mean, variance)
        for prior, mean, variance in zip(step.class_prior_, step.theta_, step.var_, strict=True)
    ]
    read = partial(_log_densities, source.number_reader(step), parts)
    return partial(_predict, read, step.classes_)


def _log_densities(read: ReadFn, parts: list[tuple[Any, ...]], table: Table) -> Numbers:
    block = read(table)
    reject_nonfinite(block)
    return np.stack(
        [
            prior + (constant - 0.5 * np.sum(((block - mean) ** 2) / variance, axis=1))
            for prior, constant, mean, variance in parts
        ]
    ).T


@register_predictor(_MODULE, "MultinomialNB")
def _plan_multinomial(step: Any, source: FeatureSource) -> PredictFn:
    read = score_reader(step, source, step.feature_log_prob_.T, step.class_log_prior_)
    return partial(_predict, read, step.classes_)


def _predict(read_likelihoods: ReadFn, classes: Any, table: Table) -> PlanOutput:
    joint = read_likelihoods(table)
    return argmax_labels(classes, joint), np.exp(joint - _log_sums(joint))


def _log_sums(joint: Numbers) -> Numbers:
    """Return the log-sum-exp of each row, of shape (rows, 1), computed like scikit-learn's ``_logsumexp``."""
    greatest = joint.max(axis=1, keepdims=True)
    is_greatest = joint == greatest
    others = np.exp(np.where(is_greatest, -np.inf, joint) - greatest)
    count = is_greatest.sum(axis=1, keepdims=True, dtype=np.float64)
    sums: Numbers = np.log1p(others.sum(axis=1, keepdims=True) / count) + np.log(count) + greatest
    return sums
