"""The autumn of 2019 as a population: two waves of one census, sixty days apart, the same each time it is made.

``scale`` shrinks each archive's studies alike (at least one stays); servers, countries and what happens to them stay
the same, so that a thousandth takes seconds to count and the whole some minutes.

Addresses: each country has a /16 of loopback, and `places` tells which, so that a scan's map shows the census.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from typing import Final

from msgspec import Struct

from leadapron.kernel.errors import UsageError
from leadapron.lab.archive.studies import Plan, Studies
from leadapron.lab.history import figures as f
from leadapron.lab.history.census import Server, servers
from leadapron.lab.population import MADE, ArchiveSpec, EndpointSpec, Population

NAME: Final = "autumn-2019"


def population(wave: int = 1, scale: float = 1.0) -> Population:
    """One wave. Raises UsageError for a wave or a scale that can't be."""
    _check(wave, scale)
    return Population(f"{NAME}, wave {wave}", [*_endpoints(wave, scale)], MADE[NAME])


def places() -> Iterator[tuple[str, Mapping[str, object]]]:
    """(network, record) for each /29 that is used, in the shape of the usual country and ASN databases: a few servers
    share an operator."""
    order = {country.code: n for n, country in enumerate(f.COUNTRIES)}
    blocks = {(order[one.country], ip_network(f"{one.address}/29", strict=False)): one.country for one in servers()}
    numbers = dict.fromkeys(order.values(), 0)
    for (place, network), code in sorted(blocks.items()):
        numbers[place] += 1
        yield (
            str(network),
            {
                "country": {"iso_code": code},
                "autonomous_system_number": 4_200_000_000 + 1000 * place + numbers[place],  # RFC 6996: for private use
                "autonomous_system_organization": f"Lead Apron Lab Net {code} {numbers[place]}",
            },
        )


class Change(Struct, frozen=True):
    """What is true about one server from a wave to another. ``kind``: opened, closed, grew, shrank, moved or same.

    ``address``, ``port``: in the later wave, or where it was; ``was``: the earlier address of one that moved, ``sure``
    whether its certificate says so. Studies and images at ``scale``; None where nothing stands open.
    """

    kind: str
    country: str
    address: str
    port: int
    before: tuple[int, int] | None
    after: tuple[int, int] | None
    was: str | None = None
    sure: bool | None = None


def changes(scale: float = 1.0) -> list[Change]:
    """From the first wave to the second."""
    _check(1, scale)
    known = servers()
    left = {one.was for one in known}
    found = []
    for one in known:
        if one.role == "guarded" or one.number in left:
            continue
        old = one if one.was is None else known[one.was]
        before, after = held(old, 1, scale), held(one, 2, scale)
        if one.was is not None:
            kind = "moved"
        elif before is None or after is None:
            kind = "opened" if before is None else "closed"
        else:
            kind = "grew" if after > before else "shrank" if after < before else "same"
        was, sure = (None, None) if one.was is None else (old.address, one.identity is not None)
        found.append(Change(kind, one.country, one.address, one.port, before, after, was, sure))
    return found


def held(one: Server, wave: int, scale: float) -> tuple[int, int] | None:
    """Its studies and images in a wave; None where nothing stands open."""
    volume = one.volumes[wave - 1]
    if volume is None:
        return None
    made = Studies(Plan(seed=one.seed, studies=_scaled(volume.studies, scale), images_mean=volume.images)).volume
    return made.studies, made.images


def _scaled(studies: int, scale: float) -> int:
    return max(1, round(studies * scale))


def _check(wave: int, scale: float) -> None:
    if wave not in (1, 2):
        raise UsageError(f"{NAME} has two waves: --wave 1 or --wave 2")
    if not 0 < scale <= 1:
        raise UsageError("--scale is a part of the whole: above 0, and 1 at most")


def _endpoints(wave: int, scale: float) -> Iterator[EndpointSpec]:
    for one in servers():
        volume = one.volumes[wave - 1]
        persona = one.persona
        if volume is None and one.role != "guarded":
            persona = one.then or "" if wave == 2 else ""
            if not persona:
                continue
        yield EndpointSpec(
            address=one.address,
            port=one.port,
            unprivileged_port=f.UNPRIVILEGED if one.port < 1024 else None,
            persona=persona,
            archive=ArchiveSpec()
            if volume is None
            else ArchiveSpec(
                studies=_scaled(volume.studies, scale), images=volume.images, seed=one.seed, last=f.LAST_DAY[wave - 1]
            ),
            options={"certificate": one.identity} if one.identity and volume is not None else {},
            note=one.country,
        )
