"""The column type of moments, on a SQLite file and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa

from closecast.database.columns import UtcDateTime
from closecast.database.engine import METADATA
from tests.database.test_database import Place

pytest_plugins = ["tests.support.database_url"]

_metadata = sa.MetaData()
_moments = sa.Table("moments", _metadata, sa.Column("at", UtcDateTime))
SAO_PAULO = timezone(timedelta(hours=-3))
EVENING = datetime(2026, 1, 2, 21, 30, 0, 123456, tzinfo=SAO_PAULO)


@pytest.fixture
def connection(place: Place) -> Iterator[sa.Connection]:
    url = sa.make_url(place.url)
    if url.database and url.get_backend_name() == "sqlite":
        Path(url.database).parent.mkdir()
    else:
        url = url.set(drivername="postgresql+psycopg")
    engine = sa.create_engine(url)
    _metadata.create_all(engine)
    with engine.begin() as opened:
        yield opened
    engine.dispose()


def test_a_moment_of_any_zone_comes_back_in_utc(connection: sa.Connection) -> None:
    connection.execute(_moments.insert().values(at=EVENING))
    stored = connection.execute(sa.select(_moments.c.at)).scalar_one()
    assert stored == EVENING
    assert stored.tzinfo is UTC


def test_moments_compare_across_zones(connection: sa.Connection) -> None:
    connection.execute(_moments.insert().values(at=EVENING))
    later = _moments.select().where(_moments.c.at > EVENING.astimezone(UTC) - timedelta(seconds=1))
    assert len(connection.execute(later).all()) == 1
    sooner = _moments.select().where(_moments.c.at < EVENING)
    assert connection.execute(sooner).all() == []
    newest = connection.execute(sa.select(sa.func.max(_moments.c.at))).scalar_one()
    assert newest == EVENING


def test_an_absent_moment_stays_absent(connection: sa.Connection) -> None:
    connection.execute(_moments.insert().values(at=None))
    assert connection.execute(sa.select(_moments.c.at)).scalar_one() is None


def test_a_moment_without_a_zone_is_refused(connection: sa.Connection) -> None:
    with pytest.raises(sa.exc.StatementError, match="without a time zone"):
        connection.execute(_moments.insert().values(at=datetime(2026, 1, 2)))


def test_every_moment_of_every_table_has_this_type() -> None:
    others = [
        f"{table.name}.{column.name}"
        for table in METADATA.sorted_tables
        for column in table.columns
        if isinstance(column.type, sa.DateTime)
    ]
    assert others == []
