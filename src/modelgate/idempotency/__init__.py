"""Stores of responses by idempotency key."""

from .answer_store import AnswerStore, MemoryAnswerStore
from .create_store import create_answer_store

__all__ = ["AnswerStore", "MemoryAnswerStore", "create_answer_store"]
