"""Find: which addresses and ports to visit, in which order, and how fast."""

from leadapron.watch.find.gather import Gathered, gather
from leadapron.watch.find.pace import Pace, Pacer
from leadapron.watch.find.parse import Spec, parse_port, parse_target
from leadapron.watch.find.permute import Permutation
from leadapron.watch.find.plan import Checkpoint, ScanTargets, Target
from leadapron.watch.find.resolve import Resolved, Unresolved, bind_names, resolve
from leadapron.watch.find.targets import TargetSet, TargetSetBuilder

__all__ = [
    "Checkpoint",
    "Gathered",
    "Pace",
    "Pacer",
    "Permutation",
    "Resolved",
    "ScanTargets",
    "Spec",
    "Target",
    "TargetSet",
    "TargetSetBuilder",
    "Unresolved",
    "bind_names",
    "gather",
    "parse_port",
    "parse_target",
    "resolve",
]
