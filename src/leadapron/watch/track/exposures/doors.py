"""Doors: an archive behind several endpoints is several exposures and one collection, and counts once.

Which door a scan met first is chance. So that an archive's numbers do not jump from one exposure to another, the door
that stood for it goes on doing so while it is open; when it closes, the oldest of the others takes its place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping


def regroup(
    door_of: Mapping[int, int], together: Iterable[Collection[int]], is_open: Mapping[int, bool]
) -> dict[int, int | None]:
    """What changes in ``door_of`` (exposure → the one that stands for its archive).

    ``together``: open exposures that one scan found to lead to one archive, single ones too; ``is_open`` holds all
    that occur.
    """
    now = dict(door_of)
    groups = [sorted(group) for group in together if group]
    taken = {member for group in groups for member in group}
    for group in groups:
        stood = {now.get(member, member) for member in group}
        # Somebody who was not met this time may still stand for it, for one archive; somebody met elsewhere may not.
        elsewhere = {one for one in stood if one not in group and (one in taken or not is_open.get(one, False))}
        first = min(stood - elsewhere, default=group[0])
        taken.add(first)
        for member in group:
            now[member] = first
        now.pop(first, None)
    # Somebody else's doors stay with whoever stands for their archive now.
    for member in list(now):
        seen = {member}
        while now[member] in now and now[member] not in seen:
            seen.add(now[member])
            now[member] = now[now[member]]
        if now[member] == member:
            del now[member]
    members: dict[int, list[int]] = {}
    for member, first in now.items():
        if is_open.get(member, False) and not is_open.get(first, False):
            members.setdefault(first, []).append(member)
    for left in members.values():
        heir = min(left)
        del now[heir]
        for member in left:
            if member != heir:
                now[member] = heir
    return {member: now.get(member) for member in {*door_of, *now} if now.get(member) != door_of.get(member)}
