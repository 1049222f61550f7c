"""Measured side by side with the peers, in one run, on one machine: ``python -m bench`` or ``make bench``."""
