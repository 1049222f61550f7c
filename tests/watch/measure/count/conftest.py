"""The simulator stands beside the tests, without a package around it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
