"""Hints at who owns an exposed server, each kept with its source; a person confirms."""
