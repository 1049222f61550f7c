"""The outer door: peers over mutual TLS, each with the title that its certificate is bound to, to the archive behind.

Who is not let in hears A-ASSOCIATE-RJ with the reason that PS3.8 Table 9-21 has for it, and nothing more: why stands in
the audit trail, once. The archive's own troubles are "for now" (3/1), so that senders try again.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from leadapron.guard.audit.events import Participant
from leadapron.guard.audit.place import AuditFailed
from leadapron.guard.gateway.dimse.conversation import Ended
from leadapron.guard.gateway.dimse.judge import PeerJudge, Ruling, roles_of
from leadapron.guard.gateway.dimse.leg import Pool
from leadapron.guard.gateway.dimse.negotiation import Offer, offer, unacceptable
from leadapron.guard.gateway.dimse.opening import Caller, Endpoint, ask, bounds_of, join, timeouts_of
from leadapron.guard.gateway.dimse.record import OnEvent, Record, failed, turned_away
from leadapron.guard.gateway.dimse.relay import End
from leadapron.guard.identity.registry import PeerIdentity, Refused
from leadapron.guard.policy.decide import Denied, Request
from leadapron.guard.policy.permission import Permission
from leadapron.guard.policy.rules import PeerRules
from leadapron.guard.settings import Guard
from leadapron.kernel.errors import ProtocolError, WireError
from leadapron.kernel.hostport import HostPort
from leadapron.wire.aio.transport import Connection
from leadapron.wire.association.reasons import (
    CALLED_AE_NOT_RECOGNIZED,
    CALLING_AE_NOT_RECOGNIZED,
    NO_REASON_GIVEN,
    TEMPORARY_CONGESTION,
)
from leadapron.wire.pdu import AssociateReject, AssociateRequest, UserIdentity

_log = logging.getLogger(__name__)

Second = Callable[[PeerRules, UserIdentity | None], Awaitable[bool]]
"""Whether user identity negotiation (PS3.7 §D.3.3.7) shows the user that a peer's rules name."""


class _TurnedAway(Exception):
    def __init__(self, reject: AssociateReject, reason: str, *, fault: bool = False) -> None:
        super().__init__(reason)
        self.reject, self.reason, self.fault = reject, reason, fault


class Front:
    """``attend`` is for `wire.aio.server.listen`. ``second`` None: rules with a ``user`` let nobody in. ``tell`` takes
    a line when the archive stops taking associations, when it does so for another reason, and when it takes them again:
    peers only hear "for now"."""

    def __init__(
        self,
        settings: Guard,
        ruling: Ruling,
        archive: Endpoint,
        on_event: OnEvent,
        pool: Pool,
        second: Second | None,
        tell: Callable[[str], None],
    ) -> None:
        self._tell_of_archive, self._trouble = tell, ""
        self._settings, self._ruling, self._archive = settings, ruling, archive
        self._on_event, self._pool, self._second = on_event, pool, second
        self._timeouts = timeouts_of(settings.limits)
        self._bounds = bounds_of(settings.limits)
        inside = settings.archive
        self._archive_participant = Participant(inside.ae, ae=inside.ae, address=inside.host)

    async def attend(self, connection: Connection, address: str, port: int) -> None:
        """One connection, to its end. Raises CancelledError only."""
        caller = Caller(connection, address)
        asked: AssociateRequest | None = None
        try:
            asked = await caller.request()
            await self._serve(caller, asked)
        except _TurnedAway as away:
            assert asked is not None
            self._tell(address, asked.calling, away.reason)
            await caller.reject(away.reject)
        except WireError as error:
            if asked is None:  # it never said who it is
                self._tell(address, None, f"no association was asked for: {error}")
            _log.debug("an association ended at its beginning: %s", error)
        except AuditFailed as error:
            _log.error("an association ended: %s", error)
        except Exception as error:
            _log.error("an association ended by %s", type(error).__name__, exc_info=True)
        finally:
            await caller.upper.abort()

    def _tell(self, address: str, calling: str | None, reason: str) -> None:
        turned_away(self._on_event, address, reason, ae=calling)
        self._ruling.registry.unknown(calling or "", address, reason)

    def _archive_is(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            known = f"the archive {self._settings.archive.ae} at {HostPort(self._archive.host, self._archive.port)}"
            self._tell_of_archive(
                f"{known} takes no associations: {trouble}" if trouble else f"{known} takes associations again"
            )

    async def _serve(self, caller: Caller, asked: AssociateRequest) -> None:
        if not self._ruling.healthy():
            raise _TurnedAway(TEMPORARY_CONGESTION, "the audit trail cannot be written")
        identity, rules = await self._who(caller, asked)
        offered = self._offer(caller, asked, identity)
        try:
            other = await ask(self._archive, offered, self._timeouts)
        except WireError as error:
            self._archive_is(str(error))
            raise _TurnedAway(TEMPORARY_CONGESTION, f"the archive did not take the association: {error}") from None
        self._archive_is("")
        self._ruling.registry.seen(identity, caller.address)
        record = Record(
            self._on_event,
            Participant(rules.name, ae=identity.ae, address=caller.address),
            self._archive_participant,
        )
        end = End(None, "the guard stopped")
        try:
            end = await join(
                caller,
                offered,
                other,
                lambda contexts: PeerJudge(self._ruling, identity, caller.address, asked.called, contexts, record),
                self._bounds,
                self._pool,
            )
        finally:
            self._over(record, identity, caller.address, end)

    def _over(self, record: Record, identity: PeerIdentity, address: str, end: End) -> None:
        reason = end.reason or (end.outcome.value if end.outcome is not None and end.fault is None else None)
        record.close(end.reason)
        if isinstance(end.error, Ended):
            self._tell(address, identity.ae, end.error.reason)
        elif isinstance(end.error, ProtocolError):
            failed(self._on_event, record, str(reason))
        elif isinstance(end.error, AuditFailed):
            _log.error("an association was ended: %s", end.error)
        elif end.error is not None:
            _log.error("an association ended by %s", type(end.error).__name__, exc_info=end.error)
        _log.debug("an association ended: %s", reason)

    async def _who(self, caller: Caller, asked: AssociateRequest) -> tuple[PeerIdentity, PeerRules]:
        ruling = self._ruling
        identity = ruling.registry.identify(caller.certificate, asked.calling)
        if isinstance(identity, Refused):
            raise _TurnedAway(CALLING_AE_NOT_RECOGNIZED, identity.reason)
        rules = ruling.policy().rules(identity.name)
        if rules is None:
            raise _TurnedAway(CALLING_AE_NOT_RECOGNIZED, "the peer has no rules")
        if rules.user is not None:
            shown = asked.user.user_identity
            if self._second is None or not await self._second(rules, shown):
                raise _TurnedAway(CALLING_AE_NOT_RECOGNIZED, "it did not show the user that its rules ask for")
        if asked.called not in self._settings.archive.titles:
            raise _TurnedAway(CALLED_AE_NOT_RECOGNIZED, "another AE title was called")
        return identity, rules

    def _offer(self, caller: Caller, asked: AssociateRequest, identity: PeerIdentity) -> Offer:
        bad = unacceptable(asked)
        if bad is not None:
            raise _TurnedAway(bad, "the A-ASSOCIATE-RQ is not acceptable")
        policy, now = self._ruling.policy(), self._ruling.clock.now()
        archive = self._settings.archive
        offered = offer(
            asked,
            roles_of(policy, identity.name, caller.address, now),
            called=asked.called,
            calling=archive.calling or identity.ae,
        )
        if offered is not None:
            return offered
        # Here and now it may do nothing at all, or nothing of what it proposes.
        reason = "nothing of what it proposes is allowed"
        for permission in Permission:
            if permission.surface != "dicom":
                continue
            decision = policy.decide(identity.name, Request(permission=permission, address=caller.address, when=now))
            if not isinstance(decision, Denied):
                raise _TurnedAway(NO_REASON_GIVEN, reason)
            if decision.reason and policy.peer(identity.name) and permission in policy.peer(identity.name).grants:  # type: ignore[union-attr]
                reason = decision.reason
        raise _TurnedAway(CALLING_AE_NOT_RECOGNIZED, reason)
