"""The tables, as SQLAlchemy Core knows them; ``migrations/`` makes them, and a test holds the two together.

Core and not the ORM: rows are appended and read in order. What was seen (sightings, absences, events, steps) is only
ever added to; what stands today (exposures, cases, notices) is a row that changes, and its history lies beside it.

- Times are text, ISO 8601 in UTC to the second (``2026-11-21T20:00:00Z``): they sort as they stand, and mean the same
  in every database.
- What is structured is JSON in a text column, not the database's own JSON type: it is written and read by msgspec as
  text that no database needs to understand, and U+0000 in a product's name, which PostgreSQL's ``jsonb`` refuses, is
  an escape like any other.
- The columns of a sighting beside its JSON are those that questions are asked about ("exposed since", "at this
  address"). The measurement is the truth; the record beside it is what was judged at the time, and can be judged again.
"""

from __future__ import annotations

from leadapron.watch.track.tables.base import HEAD, metadata
from leadapron.watch.track.tables.cases import cases, mails, notices, refusals, steps, views
from leadapron.watch.track.tables.exposures import campaigns, days, events, exposures, feeds, hints, lookups
from leadapron.watch.track.tables.sightings import absences, scans, sightings

__all__ = [
    "HEAD",
    "absences",
    "campaigns",
    "cases",
    "days",
    "events",
    "exposures",
    "feeds",
    "hints",
    "lookups",
    "mails",
    "metadata",
    "notices",
    "refusals",
    "scans",
    "sightings",
    "steps",
    "views",
]
