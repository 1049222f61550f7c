"""What tests of cases share: exposures by real scans and folds, a clock that is set, and a desk that writes notices.

The desk puts rows into the table of notices as a sender would, without words: cases care for what becomes of a notice,
not for what it says.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa
from msgspec import Struct

from leadapron.kernel.clock import iso
from leadapron.watch.measure.model import Measurement
from leadapron.watch.reach.cases.model import Case, Owner
from leadapron.watch.reach.cases.settings import Rules
from leadapron.watch.reach.cases.store import Cases
from leadapron.watch.reach.follow import Followed, follow
from leadapron.watch.reach.notices.settings import Notices as Settings
from leadapron.watch.track.tables import metadata, notices
from sightings import address, archive, exact
from watch_folding import FIRST_DAY, rejecting, round_of

CLINIC = Owner(organisation="Clinic", mailbox="it@clinic.example", language="de", country="DE")
PORT = 11112
SETTINGS = Settings(
    organisation="Open Images Project",
    from_="open-images@project.example",
    reply_to="answers@project.example",
    page="https://project.example/open-images",
    opt_out="no-more@project.example",
)


class Calendar:
    """A clock that stands where it was set, in days after the first scan."""

    def __init__(self) -> None:
        self.day = 0.0

    def monotonic(self) -> float:
        return self.day * 86400

    def now(self) -> datetime:
        return FIRST_DAY + timedelta(days=self.day)


class Written(Struct, frozen=True):
    id: int


class Desk:
    """Cases, a calendar, and what goes out."""

    def __init__(self, engine: sa.Engine, rules: Rules | None = None) -> None:
        self.engine = engine
        self.rules = rules or Rules()
        self.calendar = Calendar()
        self.cases = Cases(engine, self.rules, self.calendar)

    # ---- what scans see ----------------------------------------------------------------------------------------------

    def scan(self, *numbers: int, closed: tuple[int, ...] = (), studies: int = 500) -> None:
        """Today these stand open, and those turn strangers away."""
        seen: list[Measurement] = [archive(number, exact(studies)) for number in numbers]
        round_of(self.engine, self.calendar.day, seen + [rejecting(address(n)) for n in closed])

    def follow(self, day: float | None = None) -> Followed:
        if day is not None:
            self.calendar.day = day
        return follow(self.engine, self.rules, self, self.calendar)

    # ---- what goes out -----------------------------------------------------------------------------------------------

    def draft(
        self, case_id: int, purpose: str, by: str, *, level: int = 0, connection: sa.Connection | None = None
    ) -> Written:
        assert connection is not None
        row = {
            **{"case_id": case_id, "purpose": purpose, "channel": "email", "level": level, "language": "en"},
            **{"arms": "{}", "recipient": f"somebody-{level}", "domain": "", "sender": "", "subject": "", "body": ""},
            **{"state": "draft", "created_at": iso(self.calendar.now()), "created_by": by, "tries": 0},
        }
        id = connection.execute(notices.insert().values(row).returning(notices.c.id)).scalar_one()
        self.cases.drafted(case_id, id, purpose, by, connection=connection)
        return Written(id)

    def send(self, *notice_ids: int) -> None:
        """They were approved, and went out now."""
        for id in notice_ids:
            with self.engine.begin() as connection:
                sent = notices.update().where(notices.c.id == id).values(state="sent", sent_at=iso(self.calendar.now()))
                case_id = connection.execute(sent.returning(notices.c.case_id)).scalar_one()
                self.cases.notified(case_id, id, "rule", connection=connection)

    def notices(self, case_id: int | None = None) -> list[tuple[str, int, str]]:
        """Purpose, level and state of each notice."""
        query = sa.select(notices.c.purpose, notices.c.level, notices.c.state).order_by(notices.c.id)
        if case_id is not None:
            query = query.where(notices.c.case_id == case_id)
        with self.engine.connect() as connection:
            return [(purpose, level, state) for purpose, level, state in connection.execute(query)]

    # ---- short cuts --------------------------------------------------------------------------------------------------

    def case(self, number: int = 1) -> Case:
        """The case about the archive of that number."""
        found, _ = self.cases.find(text=address(number))
        return next(case for case in found if case.address == address(number))

    def told(self, case_id: int) -> list[str]:
        """The history as kinds."""
        return [step.kind for step in self.cases.steps(case_id)]

    def notified(self, *numbers: int, owner: Owner = CLINIC) -> list[Case]:
        """Cases about these archives, each owner written to today."""
        self.scan(*numbers)
        self.follow()
        for number in numbers:
            self.cases.confirm(self.case(number).id, owner, "ada")
        self.send(*self.follow().drafted)
        return [self.case(number) for number in numbers]


def empty(engine: sa.Engine) -> None:
    """Take out all rows, for the next example of a property; numbers begin anew."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            names = ", ".join(metadata.tables)
            connection.exec_driver_sql(f"TRUNCATE {names} RESTART IDENTITY CASCADE")
        else:
            for table in reversed(metadata.sorted_tables):
                connection.execute(table.delete())
