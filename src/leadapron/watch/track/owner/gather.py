"""One round of asking: who may own these exposures.

Addresses are asked about one after another, some at a time, each source in its own pace; what was answered lately is
not asked again. Results are written every so many addresses, so that a round which is stopped has kept its work, and
the next one goes on from there. A source that is off, out of reach or has nothing to go by is named in ``missing``;
the round itself does not fail for it.
"""

from __future__ import annotations

import asyncio
import functools
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from typing import Final, Self

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from leadapron.kernel.clock import Clock, SystemClock, iso
from leadapron.watch.measure.model import Measurement
from leadapron.watch.track.database import failures
from leadapron.watch.track.exposures.days import recount
from leadapron.watch.track.owner import certificate, reverse, security_txt
from leadapron.watch.track.owner.asking import Client, Turns
from leadapron.watch.track.owner.cache import Cache, Kept
from leadapron.watch.track.owner.countries import country
from leadapron.watch.track.owner.domains import registrable
from leadapron.watch.track.owner.hints import Hints, Said, best
from leadapron.watch.track.owner.location import Locations
from leadapron.watch.track.owner.model import Found, Gathered, Missing
from leadapron.watch.track.owner.rdap import LARGEST, Rdap
from leadapron.watch.track.owner.reverse import Resolver
from leadapron.watch.track.owner.security_txt import SecurityTxt
from leadapron.watch.track.owner.settings import Lookups, checked, special
from leadapron.watch.track.tables import exposures, sightings

AT_ONCE: Final = 16
BATCH: Final = 128  # exposures between two writes
_MOST_DOMAINS: Final = 3  # of one exposure, that are asked for security.txt
_MOST_CHECKED: Final = 3  # names of a certificate that are looked up
_MOST_REASONS: Final = 20

_MEANS: Final = {"dns": "reverse DNS", "rdap": "RDAP", "security-txt": "security.txt", "files": "country and network"}


class Subject(Struct, frozen=True):
    """An exposure to ask about. ``names`` are those of its certificate."""

    id: int
    address: str
    names: tuple[Found, ...]


async def gather(
    engine: sa.Engine,
    exposure_ids: Sequence[int],
    settings: Lookups,
    *,
    clock: Clock | None = None,
    web_port: int = 443,
    progress: Callable[[int, int], None] | None = None,
) -> Gathered:
    """Ask all sources about these exposures, write their hints, and set country, network and operator of each.

    ``web_port``: of web servers that are asked for security.txt; 443 but in tests. ``progress`` is told how many are
    done, of how many. Raises `UsageError` for settings and files that cannot be used, ``Failure`` for the database.
    """
    clock = clock or SystemClock()
    hints, wanted = Hints(engine, clock), list(dict.fromkeys(exposure_ids))
    missing: Counter[Missing] = Counter()
    turn = asyncio.Semaphore(AT_ONCE)
    async with Sources(engine, checked(settings), clock, web_port) as sources:

        async def one(address: str, subjects: list[Subject]) -> dict[int, dict[str, Said]]:
            async with turn:
                return await sources.ask(address, subjects, missing)

        for start in range(0, len(wanted), BATCH):
            batch = wanted[start : start + BATCH]
            subjects: dict[str, list[Subject]] = {}
            for subject in await asyncio.to_thread(_subjects, engine, batch):
                subjects.setdefault(subject.address, []).append(subject)
            said: dict[int, dict[str, Said]] = {}
            for found in await asyncio.gather(*(one(address, some) for address, some in subjects.items())):
                said.update(found)
            await asyncio.to_thread(_write, hints, said, clock)
            if progress is not None:
                progress(min(start + BATCH, len(wanted)), len(wanted))
    if settings.countries is not None or settings.rdap:
        await asyncio.to_thread(recount, engine)  # sums by country were written before these were known
    every = await asyncio.to_thread(hints.of_all, wanted)
    return Gathered(tuple(hint for one in wanted for hint in every[one]), _told(missing))


class Sources:
    """What can be asked, as the settings have it."""

    def __init__(self, engine: sa.Engine, settings: Lookups, clock: Clock, web_port: int) -> None:
        self._settings, self._clock, self._web_port = settings, clock, web_port
        self._cache = Cache(engine, clock)
        self._stack = AsyncExitStack()
        self._domains: dict[str, asyncio.Task[Kept]] = {}

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            settings = self._settings
            self._locations = stack.enter_context(Locations(settings.countries, settings.networks))
            self._resolver = Resolver(settings.nameserver, rate=settings.dns_rate, within=settings.dns_timeout_s)
            self._rdap = Rdap(self._client(stack, settings.rdap_rate, LARGEST), settings.rdap_base, self._bootstrap)
            self._web = SecurityTxt(
                self._client(stack, settings.web_rate, security_txt.LARGEST),
                self._resolver,
                self._clock,
                lambda address: settings.inside or special(address) is None,
                self._web_port,
            )
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._domains.values():
            task.cancel()
        await asyncio.gather(*self._domains.values(), return_exceptions=True)
        await self._stack.aclose()

    def _client(self, stack: AsyncExitStack, rate: float, most: int) -> Client:
        settings = self._settings
        client = Client(Turns(rate), within=settings.http_timeout_s, most=most, ca=settings.ca)
        stack.push_async_callback(client.close)
        return client

    async def _bootstrap(self, family: int, fetch: Callable[[], Awaitable[bytes]]) -> bytes:
        return await self._cache.text(f"rdap-bootstrap ipv{family}", self._settings.bootstrap_days, fetch)

    async def ask(self, address: str, subjects: list[Subject], missing: Counter[Missing]) -> dict[int, dict[str, Said]]:
        """What the sources say of one address and the exposures there. Adds what they do not to ``missing``."""
        settings, now = self._settings, iso(self._clock.now())
        shared: dict[str, Said] = {}
        if settings.countries is not None or settings.networks is not None:
            shared["files"] = Said(self._locations.of(address), now)
        else:
            missing[Missing(_MEANS["files"], "no file is named: [lookups] countries, networks")] += 1
        private = None if settings.inside else special(address)
        for key, on in (("dns", settings.dns), ("rdap", settings.rdap)):
            if not on:
                missing[Missing(_MEANS[key], f"switched off: [lookups] {key}")] += 1
            elif private is not None:
                missing[Missing(_MEANS[key], _outside(private))] += 1
            else:
                question = self._resolver.names if key == "dns" else self._rdap.about
                kept = await self._cache.found(
                    f"{key} {address}", settings.cache_days, functools.partial(question, address)
                )
                self._note(key, kept, shared, missing)
        result: dict[int, dict[str, Said]] = {}
        for subject in subjects:
            names = subject.names
            if settings.dns and private is None:
                names = await self._checked(address, names)
            said = result[subject.id] = {**shared, "certificate": Said(names, now)}
            if not settings.security_txt:
                missing[Missing(_MEANS["security-txt"], "switched off: [lookups] security_txt")] += 1
            elif private is not None:
                missing[Missing(_MEANS["security-txt"], _outside(private))] += 1
            else:
                await self._security(said, now, missing)
        return result

    async def _checked(self, address: str, names: tuple[Found, ...]) -> tuple[Found, ...]:
        """A certificate may name anybody; the names that lead to the address say so."""
        checked = []
        for one in names[:_MOST_CHECKED]:
            question = functools.partial(self._resolver.leads, one.value, address)
            kept = await self._cache.found(f"leads {one.value} {address}", self._settings.cache_days, question)
            checked.append(kept.found[0] if kept.found else one)
        return (*checked, *names[_MOST_CHECKED:])

    async def _security(self, said: dict[str, Said], now: str, missing: Counter[Missing]) -> None:
        domains = _domains(said)
        if not domains:
            missing[Missing(_MEANS["security-txt"], "no name leads to a domain of the owner's")] += 1
        found: list[Found] = []
        at, whole = now, True
        for domain in domains:
            if domain not in self._domains:
                self._domains[domain] = asyncio.ensure_future(
                    self._cache.found(
                        f"security-txt {domain}", self._settings.cache_days, functools.partial(self._web.of, domain)
                    )
                )
            kept = await asyncio.shield(self._domains[domain])
            if kept.missing is not None:
                missing[Missing(_MEANS["security-txt"], kept.missing)] += 1
                whole = whole and bool(kept.found)
            found += kept.found
            at = min(at, kept.at)
        if whole:
            said["security-txt"] = Said(tuple(found), at)

    def _note(self, key: str, kept: Kept, said: dict[str, Said], missing: Counter[Missing]) -> None:
        if kept.missing is not None:
            missing[Missing(_MEANS[key], kept.missing)] += 1
        if kept.missing is None or kept.found:
            said[key] = Said(kept.found, kept.at)


def _outside(private: str) -> str:
    return f"nobody outside is asked about a private address ({private})"


def _domains(said: dict[str, Said]) -> list[str]:
    """Domains that may be the owner's, those of certificates first."""
    names = [one.value for one in said["certificate"].found]
    names += [one.value for one in said["dns"].found if one.source == reverse.CONFIRMED] if "dns" in said else []
    domains = [domain for name in names if (domain := registrable(name)) is not None and not domain.hosted]
    return list(dict.fromkeys(domain.name for domain in domains))[:_MOST_DOMAINS]


def _subjects(engine: sa.Engine, exposure_ids: Sequence[int]) -> list[Subject]:
    query = (
        sa.select(exposures.c.id, exposures.c.address, exposures.c.certificate, sightings.c.measurement)
        .join(sightings, sightings.c.id == exposures.c.sighting_id)
        .where(exposures.c.id.in_(exposure_ids))
        .order_by(exposures.c.id)
    )
    decoder = msgspec.json.Decoder(Measurement)
    subjects = []
    with failures(engine), engine.connect() as connection:
        for key, address, shown, measurement in connection.execute(query):
            try:
                names = certificate.names(decoder.decode(measurement)) if shown is not None else ()
            except msgspec.DecodeError:
                names = ()
            subjects.append(Subject(key, address, names))
    return subjects


def _write(hints: Hints, said: dict[int, dict[str, Said]], clock: Clock) -> None:
    """Write the hints; then, when the country is known, who is to be told there."""
    hints.put(said)
    now = iso(clock.now())
    contacts: dict[int, dict[str, Said]] = {}
    for key, some in hints.of_all(list(said)).items():
        where = best(some, "country")
        if where is not None:
            contacts[key] = {"country": Said(tuple(_contacts(where.value)), now)}
    hints.put(contacts)


def _contacts(code: str) -> Iterable[Found]:
    known = country(code)
    for kind, contact in (("cert", known.cert), ("regulator", known.regulator)) if known is not None else ():
        if contact is not None:
            reach = contact.mailbox or contact.page
            yield Found(kind, f"{contact.name}, {reach}", f"data on {code}, {contact.page}")


def _told(missing: Counter[Missing]) -> tuple[str, ...]:
    """Each reason once: ``RDAP: rdap.arin.net does not answer within 15 s (12 times)``."""
    lines = [
        f"{one.means}: {one.reason}" + (f" ({count:,} times)" if count > 1 else "")
        for one, count in sorted(missing.items(), key=lambda item: (item[0].means, -item[1], item[0].reason))
    ]
    return tuple(lines[:_MOST_REASONS])
