"""The real parts behind the console: cases, notices, hints on the database of a test; nothing is sent to anywhere."""

from __future__ import annotations

import sqlalchemy as sa

from guard.people.somebody import Held
from leadapron.console.parts import Parts
from leadapron.watch.reach.cases.settings import Rules
from leadapron.watch.reach.cases.store import Cases
from leadapron.watch.reach.notices.settings import Notices as Settings
from leadapron.watch.reach.notices.store import Notices
from leadapron.watch.track.owner.hints import Hints

SETTINGS = Settings(
    organisation="Example CERT",
    person="A. Example",
    from_="watch@cert.example",
    reply_to="answers@cert.example",
    page="https://cert.example/watch",
    opt_out="optout@cert.example",
    postal="1 Example Street\n12345 Example",
    smtp="127.0.0.1:25",
    tls="none",
)


class Sending:
    """Notes that somebody asked for what is approved to be sent."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self) -> None:
        self.asked += 1


def parts(engine: sa.Engine, clock: Held, send: Sending | None = None) -> Parts:
    rules = Rules()
    return Parts(
        cases=Cases(engine, rules, clock),
        notices=Notices(engine, SETTINGS, clock, rules=rules),
        hints=Hints(engine, clock),
        send=send,
    )
