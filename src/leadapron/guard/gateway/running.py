"""A guard as it runs: every part started in an order in which nothing is served before it can be judged and recorded,
and stopped in the reverse one.

The audit trail comes first: what cannot be recorded does not happen. Then what decides (registry, rules, meter), then
the listeners. A task beside them reads the rules again when the file changes, writes down who was seen, renews the
guard's own certificate, takes alarms to the trail, and warns before certificates end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from msgspec import structs

from leadapron.guard.audit.anchor import BASELINE
from leadapron.guard.audit.codes import Alert, Outcome
from leadapron.guard.audit.console import console_user
from leadapron.guard.audit.events import (
    ApplicationActivity,
    BulkAlarm,
    NodeAuthenticationFailed,
    Participant,
    SecurityAlert,
)
from leadapron.guard.audit.events import Event as AuditEvent
from leadapron.guard.audit.forward import Forwarder
from leadapron.guard.audit.prune import prune
from leadapron.guard.audit.trail import Trail
from leadapron.guard.gateway.alarms import Alarm
from leadapron.guard.gateway.baseline import Baseline, Measure
from leadapron.guard.gateway.dimse.server import Contexts, GuardServer, serve_guard
from leadapron.guard.gateway.enrolment import Enrolment, serve_enrolment
from leadapron.guard.gateway.meter import WEB, Bounds, Caps, ForDimse, ForWeb, Meter
from leadapron.guard.gateway.refusals import Refusals
from leadapron.guard.gateway.setup import KEY_FILE
from leadapron.guard.gateway.told import of_enrolment, of_people, of_rules
from leadapron.guard.identity.authority import PEM_FILE, Authority
from leadapron.guard.identity.contexts import delivery_context, refusal, reload, server_context, web_context
from leadapron.guard.identity.kept import Kept
from leadapron.guard.identity.people import People, Site
from leadapron.guard.identity.registry import Registry
from leadapron.guard.identity.renewal import WARNING, Ending, expiring, renew_server
from leadapron.guard.policy.decide import Policy
from leadapron.guard.policy.reload import Reloading
from leadapron.guard.policy.rules import PeerRules
from leadapron.guard.settings import Guard, Web, load_guard
from leadapron.kernel.clock import Clock, SystemClock
from leadapron.kernel.errors import Failure, LeadApronError, UsageError
from leadapron.kernel.hostport import HostPort
from leadapron.kernel.seal import key_file
from leadapron.wire.aio.tls import client_context
from leadapron.wire.pdu.types import UserIdentity

STUDIES: Final = "studies"
CAP: Final = "cap"
USERNAME_AND_PASSCODE: Final = 2
RULES_S: Final = 1.0
SEEN_S: Final = 5.0
KEEP_S: Final = 5.0
SWEEP_S: Final = 60.0
REFUSALS_S: Final = 1.0
DAY_S: Final = 24 * 3600.0

_log: Final = logging.getLogger(__name__)

Tell = Callable[[str], None]
"""Takes a line for whoever watches the guard run."""


class Running:
    """The parts of a guard that runs. ``dimse`` says where peers connect; ``pages`` and ``enrolment`` may be None."""

    def __init__(self, settings: Guard, config: Path, home: Path, tell: Tell, clock: Clock) -> None:
        self.settings, self.config, self.home = settings, config, home
        self.trail: Trail
        self.registry: Registry
        self.rules: Reloading
        self.refusals: Refusals
        self.meter: Meter
        self.dimse: GuardServer
        self.enrolment: Enrolment | None = None
        self.pages: HostPort | None = None
        self._tell, self._clock = tell, clock
        self._closed = False  # all doors, and it was said
        self._authority: Authority
        self._people: People
        self._others: tuple[str, ...] = ()
        self._studies: Kept
        self._contexts: list[object] = []

    @property
    def people(self) -> People:
        """Who may log in; other pages in this process share them."""
        return self._people

    def record(self, event: AuditEvent) -> None:
        """To the trail; refusals of which there are too many as a sum. Raises `AuditFailed`: then what it is about
        must not happen."""
        self.refusals(event)

    def healthy(self) -> bool:
        """Whether what happens now can be recorded; if not nothing may happen."""
        return self.trail.healthy

    # ---- what goes on beside the listeners ---------------------------------------------------------------------------

    async def _look_after(self) -> None:
        """Never ends by itself; what fails is told and tried again."""
        due = {
            self._doors: RULES_S,
            self._rules: RULES_S,
            self._refusals: REFUSALS_S,
            self._seen: SEEN_S,
            self._keep: KEEP_S,
            self._sweep: SWEEP_S,
            self._own_certificate: SWEEP_S,
            self._certificates: DAY_S,
            self._prune: DAY_S,
        }
        loop = asyncio.get_running_loop()
        at = dict.fromkeys(due, loop.time())
        at[self._seen] = loop.time() + SEEN_S
        while True:
            await asyncio.sleep(max(0.01, min(at.values()) - loop.time()))
            for work, every in due.items():
                if loop.time() >= at[work]:
                    at[work] = loop.time() + every
                    try:
                        await work()
                    except (LeadApronError, OSError) as error:
                        self._tell(f"guard: {error}")
                    except Exception:
                        _log.exception("a fault of the guard's own")

    async def _doors(self) -> None:
        why = self.trail.error
        if (why is not None) != self._closed:
            self._closed = why is not None
            self._tell(f"CLOSED to everybody: {why}" if why else "open again: the audit trail can be written")

    def policy(self) -> Policy:
        """The rules in force. Each question looks whether the file has changed (4 µs), so that who was let in or shut
        out there is so at once."""
        reloaded = self.rules.refresh()
        if reloaded is not None:
            self._tell(reloaded.error or f"read {self.config} again")
            for notice in reloaded.notices:
                self._tell(notice)
            if reloaded.error is None:
                self._rest()
            for peer in reloaded.removed:
                self.meter.forget(peer)
            self.record(of_rules(reloaded))
        return self.rules.current

    def _rest(self) -> None:
        """Tells what is wrong, or has changed, in the rest of the file, which is read at the start only."""
        try:
            if structs.replace(load_guard(self.config), peer=()) != structs.replace(self.settings, peer=()):
                self._tell("other sections than [[guard.peer]] have changed: they hold from the next start")
        except UsageError as error:
            self._tell(f"{error}. The guard goes on, but would not start again")

    async def _rules(self) -> None:
        self.policy()
        for alarm in self.meter.alarms():
            self._tell(f"ALARM: {alarm.text}")
            if alarm.rule != CAP:  # the door that refused has told the trail already
                self.record(alarm_event(alarm))

    async def _refusals(self) -> None:
        self.refusals.sweep()

    async def _seen(self) -> None:
        await asyncio.to_thread(self.registry.flush)

    async def _keep(self) -> None:
        """What a restart must not forget: who has to wait, and the studies of the last hour."""
        if self.meter.changed:
            await asyncio.to_thread(self._studies.write, self.meter.state())
        await self._people.keep()

    async def _sweep(self) -> None:
        await asyncio.to_thread(self.meter.save, self.home / BASELINE)

    async def _prune(self) -> None:
        """What the trail need not keep any longer."""
        keep = self.settings.audit.keep_days
        if keep is None:
            return
        record = partial(self.trail.record, durable=True)
        before, forwarded = self._clock.now() - timedelta(days=keep), self.settings.syslog is not None
        done = await asyncio.to_thread(prune, self.trail.place, self.trail.chain, before, record, forwarded=forwarded)
        if done.files:
            self._tell(f"{done.records} records of the audit trail were removed, older than {keep} days")

    async def _own_certificate(self) -> None:
        """Often, for a clock that was wrong when the guard started is mended soon after."""
        names, clock = self.settings.names, self._clock
        if await asyncio.to_thread(renew_server, self.home, self._authority, names, clock=clock):
            self._tell("the guard's own certificate was renewed")
            for context in self._contexts:
                reload(context, self.home)  # type: ignore[arg-type]
            if self.enrolment is not None:
                self.enrolment.reload()

    async def _certificates(self) -> None:
        for ending in await asyncio.to_thread(expiring, self.home, self.registry, WARNING):
            self._tell(warning(ending))


def warning(ending: Ending) -> str:
    """A certificate that ends soon, for people."""
    day = ending.not_after.date().isoformat()
    if ending.kind == "peer":
        return f"the certificate of {ending.name} ends on {day}: run 'leadapron peer renew' there"
    return f"the {ending.kind}'s own certificate ends on {day}"


def alarm_event(alarm: Alarm) -> AuditEvent:
    """An alarm of the meter as a message of the trail."""
    peer = Participant(alarm.who.removeprefix(WEB))  # people by their names, as everywhere in the trail
    outcome = Outcome.MAJOR  # it is unusual, and it went on
    if alarm.measure == Measure.STUDIES:
        return BulkAlarm(
            peer=peer, studies=alarm.count, limit=alarm.bound, window_s=3600, outcome=outcome, reason=alarm.text
        )
    return SecurityAlert(kind=Alert.BROAD_QUERY, text=alarm.text, subject=peer, performers=(peer,), outcome=outcome)


@asynccontextmanager
async def run_guard(
    settings: Guard,
    config: Path,
    home: Path,
    tell: Tell,
    *,
    clock: Clock | None = None,
    others: tuple[str, ...] = (),
) -> AsyncIterator[Running]:
    """Run the guard of ``home`` until the block is left. ``others``: origins of other pages in this process that the
    same people use, so that their security keys are good there too, if the host is the guard's.

    Raises UsageError for rules that cannot be read, Failure for what is missing in ``home``, a trail that cannot be
    written or a port that is taken; then nothing listens.
    """
    clock = clock or SystemClock()
    running = Running(settings, config, home, tell, clock)
    running._others = others
    async with AsyncExitStack() as stack:
        if not (home / KEY_FILE).exists() and (home / PEM_FILE).exists():  # a new one would open nothing that is here
            raise Failure(
                f"{home / KEY_FILE} is missing: restore it from the backup; trail and people are sealed with it"
            )
        key = key_file(home / KEY_FILE)
        running.rules = Reloading(config, clock=clock)
        running._authority = Authority.load(home, clock=clock)
        trail = running.trail = await asyncio.to_thread(Trail, home, key, clock, _source(settings))
        stack.callback(trail.close)
        if trail.found is not None:
            tell(f"AUDIT TRAIL: {trail.found}")
        registry = running.registry = Registry(home, clock)
        stack.callback(registry.close)
        renew_server(home, running._authority, settings.names, within=timedelta(0), clock=clock)
        baseline = Baseline.load(home / BASELINE)
        bounds = Bounds(studies_per_hour=(settings.web or Web()).studies_per_hour)
        caps = partial(_caps, running.rules, bounds)
        meter = running.meter = Meter(caps, clock=clock, baseline=baseline, key=key)
        running._studies = Kept(home / STUDIES, key, STUDIES)
        if (counted := running._studies.read()) is not None:
            meter.take(counted)
        stack.callback(_save, running, home / BASELINE)
        trail.record(ApplicationActivity(started=True, launcher=console_user()))
        stack.callback(_stopped, trail)
        running.refusals = Refusals(trail.record, clock)
        stack.callback(_summed, running.refusals)
        await _syslog(running, stack)
        await _listen(running, stack, clock)
        for notice in running.rules.current.notices:
            tell(notice)
        beside = asyncio.create_task(running._look_after())
        stack.push_async_callback(_ended, beside)
        yield running


def _source(settings: Guard) -> str:
    return f"leadapron guard {settings.names[0]}" if settings.names else "leadapron guard"


def _caps(rules: Reloading, people: Bounds, who: str) -> Caps | None:
    """People and their programs have bounds of their own; a peer those of its table."""
    return people if ":" in who else rules.current.rules(who)


def _save(running: Running, baseline: Path) -> None:
    with contextlib.suppress(OSError):
        running.meter.save(baseline)
        running._studies.write(running.meter.state())


def _stopped(trail: Trail) -> None:
    with contextlib.suppress(LeadApronError):
        trail.record(ApplicationActivity(started=False))


def _summed(refusals: Refusals) -> None:
    with contextlib.suppress(LeadApronError):
        refusals.close()


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _syslog(running: Running, stack: AsyncExitStack) -> None:
    if running.settings.syslog is None:
        return
    forwarder = Forwarder(running.trail, running.settings.syslog)
    task = asyncio.create_task(forwarder.run())

    async def stop() -> None:
        forwarder.stop()
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(stop)


async def _listen(running: Running, stack: AsyncExitStack, clock: Clock) -> None:
    settings, home = running.settings, running.home
    people = running._people = _people(running, stack, clock)
    outside, peers = server_context(home), delivery_context(home)
    running._contexts += [outside, peers]
    running.dimse = await stack.enter_async_context(
        serve_guard(
            settings,
            registry=running.registry,
            policy=running.policy,
            on_event=running.record,
            healthy=running.healthy,
            tls=Contexts(outside, peers, _inside(settings)),
            meter=ForDimse(running.meter),
            clock=clock,
            second=partial(_shows_its_user, people),
            tell=running._tell,
        )
    )
    if settings.enrol:
        running.enrolment = await stack.enter_async_context(
            await serve_enrolment(
                home,
                settings.enrol,
                running.registry,
                running._authority,
                on_event=lambda event: running.record(of_enrolment(event)),
                healthy=running.healthy,
            )
        )
    if settings.web is not None and settings.archive.web is not None:
        await _pages(running, people, stack, clock)


def _inside(settings: Guard) -> ssl.SSLContext | None:
    if not settings.archive.tls:
        return None
    return client_context(authorities=None if settings.archive.ca is None else Path(settings.archive.ca))


def _people(running: Running, stack: AsyncExitStack, clock: Clock) -> People:
    """Who may log in; also without pages, for what commands beside the guard did with them goes to the trail."""
    settings = running.settings
    web = settings.web or Web()
    site = None
    if settings.web is not None and (origins := settings.origins()):
        host = urlsplit(origins[0]).hostname or ""
        site = Site(host, (*origins, *(one for one in running._others if urlsplit(one).hostname == host)))
    people = stack.enter_context(
        People(
            running.home,
            clock,
            on_event=lambda event: running.record(of_people(event)),
            site=site,
            idle_s=web.idle_s,
            absolute_s=web.absolute_s,
        )
    )

    async def sweep() -> None:
        while True:
            try:
                await asyncio.to_thread(people.sweep)
            except LeadApronError as error:
                running._tell(f"guard: {error}")
            await asyncio.sleep(SWEEP_S)

    stack.push_async_callback(_ended, asyncio.create_task(sweep()))
    return people


async def _shows_its_user(people: People, rules: PeerRules, shown: UserIdentity | None) -> bool:
    """The second proof of a peer whose rules name a ``user``: user name and passcode (PS3.7 D.3.3.7, type 2), where the
    passcode is an API token of that person (``leadapron user token``)."""
    if shown is None or shown.kind != USERNAME_AND_PASSCODE or rules.user is None:
        return False
    secret = shown.secondary.decode("ascii", "replace")
    token = await asyncio.to_thread(people.token, secret, rules.name, tell=False)  # the door tells of a refusal
    return token is not None and token.owner == rules.user == shown.primary.decode("utf-8", "replace")


async def _pages(running: Running, people: People, stack: AsyncExitStack, clock: Clock) -> None:
    from leadapron.guard.gateway.web.app import build_app
    from leadapron.guard.gateway.web.provider_login import at_provider
    from leadapron.guard.gateway.web.server import serve_web

    settings, home = running.settings, running.home
    assert settings.web is not None
    given = settings.oidc
    oidc = None if given is None else await at_provider(people, given, settings.origins()[0], clock)
    app = build_app(
        settings,
        people,
        on_event=running.record,
        meter=ForWeb(running.meter, settings.web.studies_per_hour),
        oidc=oidc,
        clock=clock,
        healthy=running.healthy,
        public=settings.web.public,
    )
    stack.push_async_callback(app.close)
    context = web_context(home)
    running._contexts.append(context)
    server = await stack.enter_async_context(
        await serve_web(
            app,
            listen=settings.web.listen,
            tls=context,
            limits=settings.limits,
            refused=partial(_no_request, running.record),
        )
    )
    running.pages = HostPort(server.host, server.port)


def _no_request(record: Callable[[AuditEvent], None], address: str, error: Exception) -> None:
    """Somebody at the pages' port who did not get as far as asking."""
    reason = refusal(error) if isinstance(error, OSError) else str(error)
    with contextlib.suppress(LeadApronError):
        record(NodeAuthenticationFailed(address=address, reason=f"pages: {reason}"))
