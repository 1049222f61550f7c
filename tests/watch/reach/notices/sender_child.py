"""A sender as a process of its own, to be killed: database, mail server; an hour is as good as another for it."""

from __future__ import annotations

import asyncio
import sys

from leadapron.watch.reach.notices.sending import send_due
from leadapron.watch.track.database import open_engine
from postroom import US

if __name__ == "__main__":
    import msgspec

    location, place = sys.argv[1:]
    print(asyncio.run(send_due(open_engine(location), msgspec.structs.replace(US, smtp=place, per_domain=1000))))
