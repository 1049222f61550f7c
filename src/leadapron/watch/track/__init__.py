"""What was seen, kept: scans and their sightings, append-only.

``writer`` takes measurements from a running scan; ``store`` reads them back. Nothing is imported here, because
SQLAlchemy costs 0.6 s and a scan starts before it is there.
"""
