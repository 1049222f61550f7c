"""When the next round of a campaign is due: pure, from its settings and the beginning of the last one.

``every`` counts from beginning to beginning, so that a round that takes long does not push all later ones. With ``at``
a round begins at that time of day, on the machine's clock, as people read it there; so many days after the last one.
Rounds that were missed (the machine was off) are not made up for: one is due at once, then it goes on as before.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from leadapron.watch.campaign.settings import Campaign


def due(campaign: Campaign, begun: datetime | None, now: datetime) -> datetime | None:
    """The moment from which on a round is due, in UTC. ``begun``: the last one's beginning, None where there was none.
    None: only when asked for."""
    span, at = campaign.span, campaign.time
    if span is None:
        return None
    if begun is None or begun - now >= span:  # a beginning so far ahead is one of a clock that was wrong
        return first(campaign, None, now)
    if at is None:
        return begun + span
    return datetime.combine((begun.astimezone() + timedelta(days=span.days)).date(), at).astimezone(UTC)


def first(campaign: Campaign, planned: str | None, now: datetime) -> datetime | None:
    """When a campaign that never ran is due: at once, or the next time that it is so late. ``planned``: the moment that
    was given out before (ISO 8601), which holds as long as it is at that time of day."""
    at = campaign.time
    if at is None:
        return None if campaign.span is None else now
    if planned is not None:
        told = datetime.fromisoformat(planned)
        if told.astimezone().time() == at:
            return told
    today = now.astimezone().date()
    moments = (datetime.combine(today + timedelta(days=n), at).astimezone(UTC) for n in range(3))
    return next(moment for moment in moments if moment >= now)
