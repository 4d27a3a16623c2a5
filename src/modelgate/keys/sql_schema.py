"""Database schema for API keys."""

from ..backends.sql import UTCDateTime, sa

__all__ = ["KEYS", "METADATA"]

METADATA = sa.MetaData()
KEYS = sa.Table(
    "modelgate_keys",
    METADATA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("prefix", sa.String(40), nullable=False),
    sa.Column("digest", sa.LargeBinary(32), nullable=False, unique=True),
    sa.Column("owner", sa.Text, nullable=False, index=True),
    sa.Column("scopes", sa.Text, nullable=False),
    sa.Column("limits", sa.Text),
    sa.Column("counted_as", sa.String(32), nullable=False),
    sa.Column("created", UTCDateTime, nullable=False),
    sa.Column("not_before", UTCDateTime),
    sa.Column("expires", UTCDateTime),
    sa.Column("revoked", UTCDateTime),
    sa.Column("replaced_by", sa.String(32)),
    sa.Column("last_used", UTCDateTime),
)
