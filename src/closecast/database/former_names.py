"""Rows that an earlier version stored under another spelling of a symbol get today's."""

from __future__ import annotations

import logging

import sqlalchemy as sa

from closecast.core.symbols import present_name

log = logging.getLogger(__name__)


def rename_symbols(engine: sa.Engine, reading: sa.Engine, tables: list[sa.Table]) -> None:
    """Rename in all tables with a column ``symbol``.

    Any number of processes may do so at once: a row that another one has renamed is no longer
    found. A row whose key is taken under today's name stays as it is, and is not read.

    Parameters
    ----------
    reading : Engine
        To look for names with; it takes no lock from writers.
    """
    for table in tables:
        if "symbol" not in table.columns:
            continue
        with reading.connect() as connection:
            stored = connection.execute(sa.select(table.c.symbol).distinct()).scalars().all()
        for name in stored:
            if present_name(name) != name:
                _rename(engine, table, name)


def _rename(engine: sa.Engine, table: sa.Table, name: str) -> None:
    symbol = present_name(name)
    try:
        with engine.begin() as connection:
            found = connection.execute(
                table.update().where(table.c.symbol == name).values(symbol=symbol)
            )
    except sa.exc.IntegrityError:
        log.warning("rows keep an earlier name", extra={"table": table.name, "symbol": name})
        return
    if found.rowcount:
        log.info("rows renamed", extra={"table": table.name, "before": name, "symbol": symbol})
