"""Column types: the conversions between Python values and what a database can store."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Dialect


class UtcDateTime(sa.TypeDecorator[datetime]):
    """A moment: aware datetimes go in, and the same moments in UTC come out.

    SQLite stores the digits of a datetime without its zone, and PostgreSQL answers in the zone
    of the connection. Every value is therefore converted to UTC before it is stored or compared,
    and declared to be UTC when it is read.
    """

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC.

        Raises
        ------
        ValueError
            If the datetime has no zone: the zone of the machine would be a guess.
        """
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a moment without a time zone cannot be stored: {value}")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Answer an aware datetime in UTC."""
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
