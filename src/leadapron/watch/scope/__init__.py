"""Scope: what the watch may touch, on whose word, and until when."""

from leadapron.watch.scope.file import Entry, Rates, ScopeFile, parse_scope, parse_until, render
from leadapron.watch.scope.ranges import RangeSet
from leadapron.watch.scope.scope import Allowed, Reason, Refused, Scope, ScopeGuard, Verdict

__all__ = [
    "Allowed",
    "Entry",
    "RangeSet",
    "Rates",
    "Reason",
    "Refused",
    "Scope",
    "ScopeFile",
    "ScopeGuard",
    "Verdict",
    "parse_scope",
    "parse_until",
    "render",
]
