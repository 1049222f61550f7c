"""Counting what a stranger can list: numbers that can be trusted, or that say why not. See docs/counting.md."""
