"""Lead Apron: find medical images that anyone can open, get them closed, keep them closed."""

__version__ = "0.1.0"
