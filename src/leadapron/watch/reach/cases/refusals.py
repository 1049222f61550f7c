"""Who is not to be written to, for ever: what a mailbox, domain or network asked, and what the configuration says.

A refusal beats every rule and every person, and nothing takes it back. It is looked up at three moments, because each
of them may be the first after it was made: when an owner is confirmed, when a notice is drafted, and in the transaction
in which a sender takes the notice. Everything here happens in the caller's transaction.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from leadapron.watch.reach.cases.settings import Rules
from leadapron.watch.reach.mailbox import Kind, canonical, domain_of, matches
from leadapron.watch.track.tables import cases, exposures, refusals


def insert_once(connection: sa.Connection, table: sa.Table) -> Any:
    """An INSERT that leaves a row alone which is there already, in the database's own dialect."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table).on_conflict_do_nothing()


def refuse(connection: sa.Connection, kind: Kind, value: str, at: str, by: str, why: str) -> bool:
    """Keep a refusal; whether it is a new one."""
    row = {"kind": kind, "value": value, "at": at, "by": by, "why": why}
    made = connection.execute(insert_once(connection, refusals).values(row).returning(refusals.c.id))
    return made.first() is not None


def refused(connection: sa.Connection, settings: Rules, mailboxes: list[str], address: str | None) -> str | None:
    """Why none of these mailboxes, or whoever is behind this address, is to be written to; None: nobody said so."""
    whom: list[str | None] = [*mailboxes, None]
    for kind, value in settings.untouched():
        if any(matches(kind, value, mailbox, address) for mailbox in whom):
            return f"{kind} {value} stands in [cases] do_not_contact"
    wheres = [refusals.c.kind == "network"]
    for mailbox in mailboxes:
        wheres.append(sa.and_(refusals.c.kind == "mailbox", refusals.c.value == canonical(mailbox)))
        wheres.append(sa.and_(refusals.c.kind == "domain", refusals.c.value.in_(_domains(domain_of(mailbox)))))
    rows = connection.execute(sa.select(refusals).where(sa.or_(*wheres)).order_by(refusals.c.id)).mappings()
    for row in rows:
        if any(matches(row["kind"], row["value"], mailbox, address) for mailbox in whom):
            return f"{row['kind']} {row['value']} refused on {row['at'][:10]}: {row['why']}"
    return None


def networks(connection: sa.Connection, settings: Rules) -> list[tuple[Kind, str]]:
    """The networks among them: all that can be said of a case whose owner nobody knows yet."""
    kept = connection.execute(sa.select(refusals.c.value).where(refusals.c.kind == "network")).scalars()
    return [*(one for one in settings.untouched() if one[0] == "network"), *(("network", value) for value in kept)]


def meant(connection: sa.Connection, kind: Kind, value: str) -> list[int]:
    """The cases that a refusal is about, by their number."""
    query = sa.select(cases.c.id, cases.c.mailbox, exposures.c.address).join_from(
        cases, exposures, cases.c.exposure_id == exposures.c.id
    )
    if kind == "mailbox":
        query = query.where(cases.c.mailbox == value)
    elif kind == "domain":
        query = query.where(cases.c.mailbox.contains(value, autoescape=True))
    rows = connection.execute(query.order_by(cases.c.id))
    return [id for id, mailbox, address in rows if matches(kind, value, mailbox, address)]


def _domains(domain: str) -> list[str]:
    """The domain and those above it."""
    labels = domain.split(".")
    return [".".join(labels[at:]) for at in range(len(labels))]
