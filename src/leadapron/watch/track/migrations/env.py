"""Run by alembic for each command: upgrade over the connection that ``database.migrate`` hands in."""

from __future__ import annotations

from alembic import context

from leadapron.watch.track.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
