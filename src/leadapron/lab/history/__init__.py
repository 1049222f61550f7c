"""Populations that are made, not listed: a whole census of servers, at more than one point in time."""
