"""Naive Bayes."""

from functools import partial
from typing import Any

import numpy as np

from ...schema import Table
from .linear import scoring
from .links import labels_of
from .parts import Answer, Answering, Numbers, Reading, Source, predictor, refuse_nonfinite

__all__: list[str] = []

_MODULE = "sklearn.naive_bayes"


@predictor(_MODULE, "GaussianNB")
def _gaussian(step: Any, source: Source) -> Answering:
    parts = [
        (np.log(prior), -0.5 * np.sum(np.log(2.0 * np.pi * variance)), mean, variance)
        for prior, mean, variance in zip(step.class_prior_, step.theta_, step.var_, strict=True)
    ]
    return _answering(step, partial(_log_densities, source.numbers(step), parts))


def _log_densities(read: Reading, parts: list[tuple[Any, ...]], table: Table) -> Numbers:
    block = read(table)
    refuse_nonfinite(block)
    return np.stack(
        [
            prior + (constant - 0.5 * np.sum(((block - mean) ** 2) / variance, axis=1))
            for prior, constant, mean, variance in parts
        ]
    ).T


@predictor(_MODULE, "MultinomialNB")
def _multinomial(step: Any, source: Source) -> Answering:
    return _answering(step, scoring(step, source, step.feature_log_prob_.T, step.class_log_prior_))


def _answering(step: Any, likelihoods: Reading) -> Answering:
    return partial(_answer, likelihoods, step.classes_)


def _answer(likelihoods: Reading, classes: Any, table: Table) -> Answer:
    joint = likelihoods(table)
    return labels_of(classes, joint), np.exp(joint - _log_sums(joint))


def _log_sums(joint: Numbers) -> Numbers:
    """(rows, 1): the operations of ``sklearn.utils._array_api._logsumexp``."""
    greatest = joint.max(axis=1, keepdims=True)
    at_greatest = joint == greatest
    others = np.exp(np.where(at_greatest, -np.inf, joint) - greatest)
    count = at_greatest.sum(axis=1, keepdims=True, dtype=np.float64)
    sums: Numbers = np.log1p(others.sum(axis=1, keepdims=True) / count) + np.log(count) + greatest
    return sums
