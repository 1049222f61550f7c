"""What the rules do now: one round over all cases, to be run after each scan and some times a day.

A round has three parts, in this order, because what a scan has proved comes before what a calendar says:

1. *What scans found*: events that a case does not know yet. Closed: the case is fixed. Reopened, moved, grew, shrank.
2. *New exposures* become cases, as ``[cases] open`` and ``severity`` say.
3. *What is due*: notices are drafted (never sent: a person approves each), cases go up a level, fixed ones are closed.

Nothing is written about a server that was not seen open within ``[cases] seen``, and nothing while a proof that it is
closed waits for the next one. Such a case wants a re-test first. Scanning stands above this module, so the caller is
given the exposures to look at; after that scan was folded, the next round goes on. A server that does not answer is
asked for again every ``[cases] retest``, and after some days the case is on the list of those that need a person.

Several exposures of one owner have a case each, and the owner is not to be flooded: to one mailbox only one notice is
under way at a time, and one a day leaves. The others keep their turn. Operators and CERTs are exempt, they work by
the piece; the limits of ``[notices]`` for a receiving domain hold for them.

A round can be killed anywhere, repeated at will, and run twice at once. Each action is one transaction, which first
locks its case and looks whether the action is still to be done; what one round did not come to, the next one does.

No case is left without a next step. A notice that is dropped is due again after a while; where nobody at a level can be
written to, a person is shown so, and after that level's waiting time the case goes up all the same.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Protocol

import sqlalchemy as sa
from msgspec import Struct

from leadapron.kernel.clock import Clock, SystemClock, iso
from leadapron.kernel.errors import UsageError
from leadapron.kernel.hostport import HostPort
from leadapron.watch.reach.cases.model import TITLES, Case, Kind
from leadapron.watch.reach.cases.settings import Rules
from leadapron.watch.reach.cases.store import Cases
from leadapron.watch.reach.notices.alone import alone
from leadapron.watch.track.database import failures
from leadapron.watch.track.exposures.store import RANKS
from leadapron.watch.track.tables import cases, events, exposures, notices

A_DAY: Final = timedelta(days=1)
MOST_RETESTS: Final = 200
"""Re-tests that one round asks for; those left over are asked for by the next one."""
WRITING: Final = 4  # the lock's number; see `notices.alone`
_BATCH: Final = 500
_WAITING: Final = ("draft", "approved", "sending", "unsure")
_KINDS: Final[dict[str, Kind]] = {"closed": "fixed", "reopened": "reopened", "grew": "grew", "shrank": "shrank"}


class Drafted(Protocol):
    @property
    def id(self) -> int: ...


class Drafts(Protocol):
    """Who writes notices and tells their cases: `reach.notices.store.Notices`."""

    def draft(
        self, case_id: int, purpose: str, by: str, *, level: int = 0, connection: sa.Connection | None = None
    ) -> Drafted: ...


class Problem(Struct, frozen=True):
    """A rule that could not do its part, and why. It tries again in the next round."""

    case_id: int
    why: str


class Followed(Struct, frozen=True):
    """What a round did, by the numbers of cases (``drafted``: of notices). ``retest``: exposures to look at before
    anything is written about them; ``waiting``: cases whose owner has another notice under way."""

    opened: tuple[int, ...] = ()
    fixed: tuple[int, ...] = ()
    reopened: tuple[int, ...] = ()
    moved: tuple[int, ...] = ()
    escalated: tuple[int, ...] = ()
    drafted: tuple[int, ...] = ()
    closed: tuple[int, ...] = ()
    retest: tuple[int, ...] = ()
    waiting: tuple[int, ...] = ()
    problems: tuple[Problem, ...] = ()


def follow(engine: sa.Engine, settings: Rules, drafts: Drafts, clock: Clock | None = None) -> Followed:
    """One round. Raises ``Failure`` where the database fails; what was done until then stays done."""
    return _Round(engine, settings, drafts, clock or SystemClock()).run()


class _Round:
    def __init__(self, engine: sa.Engine, settings: Rules, drafts: Drafts, clock: Clock) -> None:
        self._engine = engine
        self._settings = settings
        self._drafts = drafts
        self._clock = clock
        self._cases = Cases(engine, settings, clock)
        self._done: dict[str, list[int]] = {field: [] for field in Followed.__struct_fields__ if field != "problems"}
        self._problems: dict[int, Problem] = {}

    def run(self) -> Followed:
        with failures(self._engine):
            while self._scanned():
                pass  # a case that moved has a history at its new address
            while self._opened():
                pass
            self._stranded()
            self._due()
        lists = {field: tuple(numbers) for field, numbers in self._done.items()}
        return Followed(**lists, problems=tuple(self._problems.values()))

    # ---- what scans found --------------------------------------------------------------------------------------------

    def _scanned(self) -> bool:
        """Take in the events that cases do not know; whether there were any."""
        columns = (cases.c.id.label("case_id"), events)
        newer = events.c.id > cases.c.event_id
        at = sa.select(*columns).join_from(cases, events, events.c.exposure_id == cases.c.exposure_id)
        away = sa.select(*columns).join_from(cases, events, events.c.other_id == cases.c.exposure_id)
        with self._engine.connect() as connection:
            found = [
                *connection.execute(at.where(newer, events.c.kind.in_(_KINDS))).mappings(),
                *connection.execute(away.where(newer, events.c.kind == "moved")).mappings(),
            ]
        for row in sorted(found, key=lambda row: row["id"]):
            with self._engine.begin() as connection:
                if row["kind"] == "moved":
                    self._moved(connection, row)
                else:
                    self._event(connection, row)
        return bool(found)

    def _event(self, connection: sa.Connection, row: sa.RowMapping) -> None:
        case = self._cases.lock(row["case_id"], connection)
        if case.exposure_id != row["exposure_id"]:
            return  # it has moved away since
        kind = _KINDS[row["kind"]]
        if self._cases.scanned(case.id, row["id"], kind, _told(row), connection=connection) and kind in self._done:
            self._done[kind].append(case.id)

    def _moved(self, connection: sa.Connection, row: sa.RowMapping) -> None:
        """The case goes where its server went, unless there is one about that address already."""
        case = self._cases.lock(row["case_id"], connection)
        if case.exposure_id != row["other_id"]:
            return
        there = sa.select(exposures.c.address, exposures.c.port).where(exposures.c.id == row["exposure_id"])
        to = HostPort(*connection.execute(there).one())
        other = connection.execute(sa.select(cases.c.id).where(cases.c.exposure_id == row["exposure_id"])).scalar()
        perhaps = "" if row["sure"] else "perhaps, a guess by its behaviour: "
        text = f"{perhaps}from {case.endpoint} to {to}, seen {row['at'][:10]} in scan {row['scan_id']}"
        if other is not None:
            text += f", where case {other} is about it"
            self._cases.scanned(case.id, row["id"], "note", text, connection=connection)
            return
        kind: Kind = "moved" if row["sure"] else "guessed"
        exposure_id = row["exposure_id"]
        if self._cases.scanned(case.id, row["id"], kind, text, connection=connection, exposure_id=exposure_id):
            self._done["moved"].append(case.id)

    # ---- new exposures -----------------------------------------------------------------------------------------------

    def _opened(self) -> bool:
        """Open cases for some of the exposures that call for one; whether there were any."""
        wanted: sa.ColumnElement[bool] = exposures.c.verdict.in_(self._settings.open)
        if self._settings.severity is not None:
            least = RANKS[self._settings.severity]
            wanted &= exposures.c.severity.in_([severity for severity, rank in RANKS.items() if rank >= least])
        with self._engine.begin() as connection:
            made = self._cases.open_where(wanted, "rule", connection, _BATCH)
        self._done["opened"] += made
        return bool(made)

    # ---- what is due -------------------------------------------------------------------------------------------------

    def _stranded(self) -> None:
        """Cases whose last notice was dropped, by a sender because of what is over by now, say: back to the ladder."""
        said = notices.alias()
        last = sa.select(sa.func.max(said.c.id)).where(said.c.case_id == cases.c.id, said.c.purpose != "thanks")
        query = (
            sa.select(cases.c.id)
            .join_from(cases, notices, notices.c.id == last.scalar_subquery())
            .where(notices.c.state == "dropped", cases.c.due.is_(None), cases.c.hold.is_(None))
            .where(cases.c.state.in_(("confirmed", "notified", "acknowledged", "escalated")))
            .order_by(cases.c.id)
        )
        with self._engine.connect() as connection:
            ids = list(connection.execute(query).scalars())
        for id in ids:
            self._cases.dropped(id)

    def _due(self) -> None:
        """Each case once, and once more where the first action made another one due (a level up, then the notice)."""
        for _ in range(2):
            now = iso(self._clock.now())
            due = sa.and_(cases.c.due_at.is_not(None), cases.c.due_at <= now)
            may = sa.or_(cases.c.hold.is_(None), cases.c.due == "close")
            query = sa.select(cases.c.id).where(due, may).order_by(cases.c.due_at, cases.c.id)
            with self._engine.connect() as connection:
                ids = list(connection.execute(query).scalars())
            done = self._done["escalated"][:]
            for id in ids:
                if id not in self._problems:
                    self._act(id)
            if self._done["escalated"] == done:
                return

    def _act(self, id: int) -> None:
        """Do what is due for one case, if it still is."""
        try:
            with self._engine.begin() as connection:
                case = self._cases.lock(id, connection)
                if case.due_at is None or case.due_at > iso(self._clock.now()):
                    return
                if case.due == "close":
                    self._cases.close(id, "rule", "proved closed, and quiet since", connection=connection)
                    self._done["closed"].append(id)
                elif case.hold is None:
                    self._write(connection, case)
        except UsageError as error:
            if not self._passed_over(id, str(error)):
                self._problems[id] = Problem(id, str(error))
                self._cases.trouble(id, str(error))

    def _passed_over(self, id: int, why: str) -> bool:
        """Up again, where nobody at this level could be written to for as long as they would get to answer: until
        then a person is shown that an address is missing."""
        with self._engine.begin() as connection:
            case = self._cases.lock(id, connection)
            found = self._settings.next_rung(case.level, case.reminders)
            if case.due != "escalation" or case.due_at is None or found is None or case.hold is not None:
                return False
            if case.due_at > iso(self._clock.now() - found[1]):
                return False
            text = f"nobody at the {TITLES[case.level]} could be written to: {why}"
            self._cases.escalate(id, "rule", found[0].level, text, connection=connection)
        self._done["escalated"].append(id)
        return True

    def _write(self, connection: sa.Connection, case: Case) -> None:
        if case.due != "thanks" and not self._stands_open(connection, case):
            return
        if case.due == "raise":
            found = self._settings.next_rung(case.level, case.reminders)
            if found is None:
                raise UsageError("[cases] has no further rung for it; escalate or close it by hand")
            self._cases.escalate(case.id, "rule", found[0].level, "no answer", connection=connection)
            self._done["escalated"].append(case.id)
            return
        assert case.due is not None
        if self._cases.hold_refused(case.id, connection):
            return
        level = 0 if case.due in ("first", "thanks") else case.level
        alone(connection, WRITING)  # two rounds at once must not both find that a mailbox has nothing in hand
        if (id := self._in_hand(connection, case, level)) is not None:
            self._cases.drafted(case.id, id, case.due, "rule", connection=connection)
        elif level == 0 and self._under_way(connection, case):
            if case.id not in self._done["waiting"]:
                self._done["waiting"].append(case.id)
        else:
            notice = self._drafts.draft(case.id, case.due, "rule", level=level, connection=connection)
            self._done["drafted"].append(notice.id)

    def _in_hand(self, connection: sa.Connection, case: Case, level: int) -> int | None:
        """The notice that is due, where a person has drafted it already."""
        query = sa.select(notices.c.id).where(
            notices.c.case_id == case.id,
            notices.c.purpose == case.due,
            notices.c.level == level,
            notices.c.state.in_(_WAITING),
        )
        return connection.execute(query.limit(1)).scalar()

    def _stands_open(self, connection: sa.Connection, case: Case) -> bool:
        """Whether it was seen open lately, with nothing to the contrary since; else a re-test is wanted."""
        now = self._clock.now()
        query = sa.select(exposures.c.state, exposures.c.proofs, exposures.c.last_open)
        state, proofs, last = connection.execute(query.where(exposures.c.id == case.exposure_id)).one()
        if state != "open":
            return False  # the event that says so is on its way to the case
        if not proofs and last >= iso(now - self._settings.span("seen")):
            return True
        asked = self._done["retest"]
        lately = iso(now - self._settings.span("retest"))
        if len(asked) < MOST_RETESTS and (case.retest_at is None or case.retest_at <= lately):
            connection.execute(cases.update().where(cases.c.id == case.id).values(retest_at=iso(now)))
            asked.append(case.exposure_id)
        return False

    def _under_way(self, connection: sa.Connection, case: Case) -> bool:
        """Whether this owner's mailbox has a notice in hand, or got one within a day."""
        if case.mailbox is None:
            return False
        lately = iso(self._clock.now() - A_DAY)
        query = (
            sa.select(notices.c.id)
            .join(cases, notices.c.case_id == cases.c.id)
            .where(cases.c.mailbox == case.mailbox, notices.c.level == 0, notices.c.channel == "email")
            .where(sa.or_(notices.c.state.in_(_WAITING), notices.c.sent_at > lately))
            .limit(1)
        )
        return connection.execute(query).first() is not None


def _told(row: sa.RowMapping) -> str:
    """An event in words."""
    where = f"scan {row['scan_id']}, {row['at'][:10]}"
    if row["kind"] == "closed":
        return f"proved closed by {where}"
    if row["kind"] == "reopened":
        return f"stands open again: {where}"
    before, after = (("?" if n is None else f"{n:,}") for n in (row["studies_before"], row["studies"]))
    if before == after:
        before, after = (("?" if n is None else f"{n:,}") for n in (row["images_before"], row["images"]))
        return f"from {before} to {after} images: {where}"
    return f"from {before} to {after} studies: {where}"
