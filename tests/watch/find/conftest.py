from __future__ import annotations

from hypothesis import settings

# the machine is shared: how long an example takes says nothing about the code
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")
