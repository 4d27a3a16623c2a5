"""The way to a database: SQLite or PostgreSQL, through SQLAlchemy Core. What is here blocks."""

from .database import Database, Moment, sa

__all__ = [
    "Database",
    "Moment",
    "sa",
]
