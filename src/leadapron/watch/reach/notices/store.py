"""Notices as people handle them: drafted, looked at, changed, approved, dropped, decided about.

Nothing leaves without a person having approved just that text: a change takes the approval back. A draft is rendered
when it is made and kept as text, so what was approved is what is sent, whatever a later scan finds. Whether it may
still be sent (the owner refused, the server is closed) is asked of the case at each step, last when a sender takes it.

Every method is one transaction, or part of the caller's where it is given a ``connection``.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from leadapron.kernel.clock import Clock, SystemClock, iso
from leadapron.kernel.errors import Failure, UsageError
from leadapron.watch.reach.arms.assign import drawn
from leadapron.watch.reach.cases.model import LEVELS, Case
from leadapron.watch.reach.cases.settings import Rules
from leadapron.watch.reach.cases.store import Cases
from leadapron.watch.reach.cases.words import who
from leadapron.watch.reach.notices import words
from leadapron.watch.reach.notices.facts import MARK, Facts, facts, printable
from leadapron.watch.reach.notices.layout import LONGEST, tidy
from leadapron.watch.reach.notices.letter import Format, pages
from leadapron.watch.reach.notices.model import PURPOSES, STATES, WAITING, Channel, Notice, Purpose, State, Text
from leadapron.watch.reach.notices.recipients import Recipient, recipient
from leadapron.watch.reach.notices.settings import Notices as Settings
from leadapron.watch.track.database import failures, name
from leadapron.watch.track.exposures.store import Exposures
from leadapron.watch.track.owner import countries
from leadapron.watch.track.tables import cases, notices

MOST: Final = 10_000  # rows that one question gives
LONGEST_SUBJECT: Final = 200
ORDERS: Final = {key: notices.c[key] for key in ("id", "case_id", "state", "created_at", "approved_at", "sent_at")}
_WENT: Final[frozenset[State]] = frozenset({"sent", "unsure", "bounced"})


class Notices:
    """The notices of one database. Methods raise ``UsageError`` for what can't be meant, ``Failure`` where the database
    fails; then nothing has happened. ``rules``: the section ``[cases]``."""

    def __init__(
        self, engine: sa.Engine, settings: Settings, clock: Clock | None = None, *, rules: Rules | None = None
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._clock = clock or SystemClock()
        self._exposures = Exposures(engine, self._clock)
        self.cases = Cases(engine, rules, self._clock)

    # ---- reading -----------------------------------------------------------------------------------------------------

    def get(self, id: int) -> Notice:
        """The notice of that number. Raises ``UsageError`` where there is none."""
        with self._within(None) as connection:
            return self._get(connection, id)

    def find(
        self,
        *,
        state: State | Sequence[State] | None = None,
        case_id: int | None = None,
        purpose: Purpose | None = None,
        channel: Channel | None = None,
        text: str | None = None,
        order: str = "-id",
        limit: int = 50,
        offset: int = 0,
    ) -> tuple[list[Notice], int]:
        """Notices that fit, and how many there are in all. ``text``: part of recipient or subject. ``order``: one of
        ``ORDERS``, ``-`` before it for the largest first."""
        wheres: list[sa.ColumnElement[bool]] = []
        if state is not None:
            states = [state] if isinstance(state, str) else list(state)
            if unknown := [one for one in states if one not in STATES]:
                raise UsageError(f"no notice is ever {unknown[0]!a}; states are {', '.join(STATES)}")
            wheres.append(notices.c.state.in_(states))
        for column, value in (("case_id", case_id), ("purpose", purpose), ("channel", channel)):
            if value is not None:
                wheres.append(notices.c[column] == value)
        if text:
            wheres.append(
                sa.or_(
                    *(
                        sa.func.lower(column).contains(text.lower(), autoescape=True)
                        for column in (notices.c.recipient, notices.c.subject)
                    )
                )
            )
        matching = sa.and_(sa.true(), *wheres)
        by = ORDERS.get(order.removeprefix("-"))
        if by is None:
            raise UsageError(f"notices cannot be put in that order; there are {', '.join(ORDERS)}")
        directed = by.desc() if order.startswith("-") else by.asc()
        page = sa.select(notices).where(matching).order_by(directed.nulls_last(), notices.c.id)
        page = page.limit(max(1, min(limit, MOST))).offset(max(0, offset))
        with self._within(None) as connection:
            rows = connection.execute(page).mappings().all()
            total = connection.execute(sa.select(sa.func.count()).select_from(notices).where(matching)).scalar_one()
        return [self._notice(row) for row in rows], int(total)

    def counts(self) -> dict[State, int]:
        """How many notices are in each state."""
        with self._within(None) as connection:
            rows = connection.execute(sa.select(notices.c.state, sa.func.count()).group_by(notices.c.state))
            found = {state: number for state, number in rows}
        return {state: found.get(state, 0) for state in STATES}

    # ---- writing -----------------------------------------------------------------------------------------------------

    def preview(
        self,
        case_id: int,
        purpose: Purpose = "first",
        *,
        channel: Channel | None = None,
        level: int = 0,
        to: str | None = None,
    ) -> Text:
        """What `draft` would write now, without its code; nothing is kept, no lot is drawn for good."""
        with self._within(None) as connection:
            return self._text(connection, self.cases.get(case_id), purpose, level, channel, to, "x" * MARK)[0]

    def draft(
        self,
        case_id: int,
        purpose: str,
        by: str,
        *,
        channel: Channel | None = None,
        level: int = 0,
        to: str | None = None,
        connection: sa.Connection | None = None,
    ) -> Notice:
        """Write a notice for a person to approve, and say so in the case. ``to``: a mailbox instead of the known one.

        Raises ``UsageError`` where it must not be sent anyway, one of that kind still waits, or nobody can be reached.
        """
        if purpose not in PURPOSES:
            raise UsageError(f"no notice has the purpose {purpose!a}; there are {', '.join(PURPOSES)}")
        if not 0 <= level < len(LEVELS):
            raise UsageError(f"a level is one of 0 to {len(LEVELS) - 1}: {', '.join(LEVELS)}")
        with self._within(connection) as inside:
            case = self.cases.lock(case_id, inside)
            waits = sa.select(notices.c.id).where(
                notices.c.case_id == case_id,
                notices.c.purpose == purpose,
                notices.c.level == level,
                notices.c.state.in_(sorted(WAITING)),
            )
            if (waiting := inside.execute(waits.limit(1)).scalar()) is not None:
                raise UsageError(f"notice {waiting} of case {case_id} still waits: approve, drop or resolve that one")
            token = _token()
            text, whom = self._text(inside, case, purpose, level, channel, to, token)
            self._may(inside, case_id, purpose, text.channel, text.recipient)
            if text.arms != case.arms:
                self.cases.set_arms(case_id, text.arms, connection=inside)
            row = {
                "case_id": case_id,
                "purpose": purpose,
                "level": level,
                "domain": whom.domain,
                "state": "draft",
                "created_at": iso(self._clock.now()),
                "created_by": who(by),
                "tries": 0,
                **msgspec.structs.asdict(text),
                "arms": msgspec.json.encode(text.arms).decode(),
            }
            key = inside.execute(notices.insert().values(row)).inserted_primary_key
            assert key is not None
            id = int(key[0])
            named = notices.update().where(notices.c.id == id)
            inside.execute(named.values(message_id=_message_id(id, token, text.sender)))
            self.cases.drafted(case_id, id, purpose, by, connection=inside)
            return self._get(inside, id)

    def edit(self, id: int, by: str, *, subject: str | None = None, body: str | None = None) -> Notice:
        """Change what it says; an approval that it had is gone."""
        values: dict[str, Any] = {"state": "draft", "approved_at": None, "approved_by": None}
        if subject is not None:
            kept = printable(subject, LONGEST_SUBJECT)
            if kept is None:
                raise UsageError("a notice needs a subject")
            values["subject"] = kept
        if body is not None:
            kept = tidy(body)
            if not kept.strip() or len(kept) > LONGEST:
                raise UsageError(f"a notice's text has from 1 to {LONGEST:,} characters")
            values["body"] = kept
        with self._within(None) as connection:
            return self._change(connection, id, ("draft", "approved"), values, f"changed by {who(by)}", by)

    def approve(self, ids: Sequence[int], by: str, *, as_read: Sequence[Notice] = ()) -> list[Notice]:
        """A person has read them: they may go. All or, where one of them must not, none.

        ``as_read``: the notices as they were shown; raises ``UsageError`` where somebody changed one of them since.
        """
        self._settings.require()
        read = {notice.id: (notice.subject, notice.body, notice.recipient) for notice in as_read}
        with self._within(None) as connection:
            approved = [self._approve(connection, id, by) for id in ids]
            for one in approved:
                if read.get(one.id, now := (one.subject, one.body, one.recipient)) != now:
                    raise UsageError(f"notice {one.id} was changed since you read it: leadapron notices show {one.id}")
            return approved

    def drop(self, id: int, by: str, why: str) -> Notice:
        """It is not sent, for ever. What it was for is due again after a while, see `Cases.dropped`."""
        kept = printable(why, 500)
        if kept is None:
            raise UsageError("say why it is dropped; the case's history has to tell")
        with self._within(None) as connection:
            values = {"state": "dropped", "answer": kept}
            changed = self._change(connection, id, ("draft", "approved", "failed"), values, f"dropped: {kept}", by)
            self.cases.dropped(changed.case_id, connection=connection)
            return changed

    def resolve(self, id: int, sent: bool, by: str) -> Notice:
        """A person says whether a notice that is unsure went out; not sent: it is approved, and goes with the next
        round. A letter is ``sent`` by whoever posts it."""
        with self._within(None) as connection:
            notice = self._lock(connection, id)
            letter = notice.channel == "letter" and notice.state == "approved"
            if notice.state != "unsure" and not (letter and sent):
                raise UsageError(
                    f"notice {id} is {notice.state}: only one that is unsure, or a letter that is approved, can be "
                    "decided about"
                )
            now = iso(self._clock.now())
            values: dict[str, Any] = {"state": "approved", "phase": None, "claimed_by": None, "answer": None}
            said = "did not go out, and is to be sent again"
            if sent:
                at = notice.claimed_at or now
                values = {"state": "sent", "sent_at": at, "answer": f"as {who(by)} says"}
                said = "was posted" if letter else "did go out"
            changed = self._change(connection, id, (notice.state,), values, f"{said}, says {who(by)}", by)
            if sent:
                self.cases.notified(notice.case_id, id, by, connection=connection)
            return changed

    def letter(self, id: int, *, form: Format = "pdf") -> list[bytes]:
        """A letter as it is printed: one PDF, or a PNG for each page. Raises ``UsageError`` where it must not go."""
        with self._within(None) as connection:
            notice = self._get(connection, id)
            if notice.state not in ("draft", "sent"):
                self._may(connection, notice.case_id, notice.purpose, notice.channel, notice.recipient)
        owner = self.cases.get(notice.case_id).owner
        country = None if owner is None else owner.country
        return pages(notice, self._settings, self._clock, country=country, form=form)

    # ---- how ---------------------------------------------------------------------------------------------------------

    def _approve(self, connection: sa.Connection, id: int, by: str) -> Notice:
        notice = self._lock(connection, id)
        self._may(connection, notice.case_id, notice.purpose, notice.channel, notice.recipient)
        values = {
            "state": "approved",
            "approved_at": iso(self._clock.now()),
            "approved_by": who(by),
            "message_id": notice.message_id or _message_id(notice.id, _token(), notice.sender),
        }
        return self._change(connection, id, ("draft",), values, "approved", by)

    def _lock(self, connection: sa.Connection, id: int) -> Notice:
        """The notice, whose case nobody else changes until the transaction ends. The write comes first: a reader that
        turns writer may be told by SQLite to begin again."""
        its_case = sa.select(notices.c.case_id).where(notices.c.id == id).scalar_subquery()
        connection.execute(cases.update().where(cases.c.id == its_case).values(changed_at=cases.c.changed_at))
        return self._get(connection, id)

    def _change(
        self, connection: sa.Connection, id: int, states: Sequence[State], values: dict[str, Any], said: str, by: str
    ) -> Notice:
        """Change the row if it still is in one of these states, with a note in the case. The case is locked first, as
        everywhere, so that two who change the same things never wait for each other in a ring."""
        self._lock(connection, id)
        change = notices.update().where(notices.c.id == id, notices.c.state.in_(list(states))).values(values)
        done = connection.execute(change).rowcount
        notice = self._get(connection, id)
        if not done:
            raise UsageError(f"notice {id} is {notice.state}; that can be done to one that is {' or '.join(states)}")
        self.cases.note(notice.case_id, f"notice {id} {said}", by, connection=connection)
        return notice

    def _may(self, connection: sa.Connection, case_id: int, purpose: str, channel: Channel, to: str) -> None:
        why = self.cases.objection(case_id, purpose, *([to] if channel == "email" else []), connection=connection)
        if why is not None:
            raise UsageError(f"nothing may be written in case {case_id}: {why}")

    def _text(
        self,
        connection: sa.Connection,
        case: Case,
        purpose: Any,
        level: int,
        channel: Channel | None,
        to: str | None,
        token: str,
    ) -> tuple[Text, Recipient]:
        self._settings.require()
        arms = drawn(connection, case, self._settings)
        settings = self._settings.by(arms.get("sender"))
        whom = recipient(connection, case, level, settings, arms, channel=channel, to=to)
        said = self._facts(connection, case, level, settings, arms, whom, token)
        subject, body = words.text(purpose, said, whom.language, whom.country)
        assert settings.from_ is not None
        text = Text(
            channel=whom.channel,
            language=whom.language,
            arms=arms,
            recipient=whom.to,
            sender=settings.from_,
            subject=subject,
            body=body,
        )
        return text, whom

    def _facts(
        self,
        connection: sa.Connection,
        case: Case,
        level: int,
        settings: Settings,
        arms: dict[str, str],
        to: Recipient,
        token: str,
    ) -> Facts:
        land = None if to.country is None else countries.country(to.country)
        # The law binds the owner, wherever their server stands.
        theirs = None if case.owner is None or case.owner.country is None else countries.country(case.owner.country)
        bound = theirs or land
        duty = None if bound is None else bound.duty
        exposure = self._exposures.get(case.exposure_id)
        # A reader is told when they were written to, others since when the owner was; not before it closed and opened.
        counted = notices.c.level == 0
        if level == 0:
            counted = sa.and_(counted, notices.c.recipient == to.to)
        to_owner = sa.case((sa.and_(counted, notices.c.state != "bounced"), notices.c.sent_at))
        went = sa.select(sa.func.count(), sa.func.min(to_owner)).where(
            notices.c.case_id == case.id,
            notices.c.state.in_(sorted(_WENT)),
            notices.c.purpose != "thanks",
            notices.c.created_at >= exposure.opened_at,
        )
        number, first = connection.execute(went).one()
        return facts(
            exposure,
            self._exposures.measurement(case.exposure_id),
            settings,
            case_id=case.id,
            token=token,
            level=level,
            framing=arms.get("framing", "technical"),
            language=to.language,
            organisation=None if case.owner is None else case.owner.organisation,
            person=None if case.owner is None else case.owner.person,
            country=None if land is None else countries.name(land.code, to.language),
            duty_country=None if bound is None else countries.name(bound.code, to.language),
            duty=None if duty is None else duty.name(to.language),
            duty_sentence=None if duty is None else duty.sentence(to.language),
            notices=int(number),
            first_notice=first,
        )

    @contextmanager
    def _within(self, connection: sa.Connection | None) -> Iterator[sa.Connection]:
        """The caller's transaction, or one of our own."""
        with failures(self._engine):
            if connection is not None:
                yield connection
            else:
                with self._engine.begin() as own:
                    yield own

    def _get(self, connection: sa.Connection, id: int) -> Notice:
        row = connection.execute(sa.select(notices).where(notices.c.id == id)).mappings().first()
        if row is None:
            raise UsageError(f"there is no notice {id} in {name(self._engine)}; 'leadapron notices' lists them")
        return self._notice(row)

    def _notice(self, row: sa.RowMapping) -> Notice:
        return notice_of(row, name(self._engine))


def notice_of(row: sa.RowMapping, where: str) -> Notice:
    """A row of ``notices``. ``where``: the database as messages call it."""
    try:
        return Notice(**{**row, "arms": msgspec.json.decode(row["arms"], type=dict[str, str])})
    except msgspec.DecodeError as error:
        raise Failure(
            f"{where} holds a row that cannot be read: it was damaged, or changed by hand. Restore it from a backup"
        ) from error


def _token() -> str:
    """What nobody can guess of a notice; it stands in its Message-ID, and a part of it in its text."""
    return secrets.token_hex(8)


def _message_id(id: int, token: str, sender: str) -> str:
    """Ours, known before anything is sent, so that a bounce can be matched whatever happens on the way."""
    return f"<leadapron.{id}.{token}@{sender.rpartition('@')[2]}>"
