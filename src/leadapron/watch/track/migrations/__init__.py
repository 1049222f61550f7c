"""Alembic's scripts. ``database.migrate`` runs them over the connection that it has open."""
