"""The databases of ``test_ledger`` as a pytest plugin, for tests of the ledger's other tables."""

from __future__ import annotations

from tests.database.test_database import clock, database, in_a_file, on_postgres, place, postgres

__all__ = ["clock", "database", "in_a_file", "on_postgres", "place", "postgres"]
