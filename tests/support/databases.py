"""Empty databases, for tests that run with each kind."""

DATABASES = ("sqlite", "postgresql")


def make_database(kind, request):
    """Return the URL of an empty database of one of `DATABASES`, for the test of *request*."""
    if kind == "sqlite":
        return f"sqlite:///{request.getfixturevalue('tmp_path')}/database.db"
    return request.getfixturevalue("postgres").clear_tables()
