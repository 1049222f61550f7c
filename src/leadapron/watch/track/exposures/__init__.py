"""Sightings become exposures: what stays open from one day to another, as episodes with a history."""
