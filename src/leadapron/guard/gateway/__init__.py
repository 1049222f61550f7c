"""In front of an older archive: a DIMSE relay and a web proxy behind a login."""
