"""Figures that are fit to publish: aggregates only, nothing from which a single hospital could be told.

``history`` reads what was open when, ``disclosure`` and ``survival`` are the arithmetic, ``pack`` makes of it what may
be published and nothing else; ``tables``, ``page`` and ``paper`` write the pack as CSV, HTML and PDF and see only that.
"""
