"""What all tables share."""

from __future__ import annotations

from sqlalchemy import BigInteger, Integer, MetaData

HEAD = "0002"  # the newest revision in migrations/versions

# SQLite numbers rows by itself only where the key is declared INTEGER.
KEY = BigInteger().with_variant(Integer(), "sqlite")

metadata = MetaData()
