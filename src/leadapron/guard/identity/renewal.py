"""The guard's own certificate, and what ends soon: its, a peer's, or the authority's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from msgspec import Struct

from leadapron.guard.identity.authority import LEAF_DAYS, Authority, general_name, load_authority_certificate
from leadapron.guard.identity.contexts import SERVER
from leadapron.guard.identity.lock import locked
from leadapron.guard.identity.pairs import complete, paths, write_next_key
from leadapron.guard.identity.registry import Registry
from leadapron.kernel.clock import Clock, SystemClock
from leadapron.kernel.errors import Failure

EARLY: Final = timedelta(days=60)
"""How long before its end the guard renews its own certificate."""
WARNING: Final = timedelta(days=30)
"""How long before the end of a peer's one warns."""


class Ending(Struct, frozen=True):
    """A certificate that ends soon. ``kind``: ``authority``, ``server`` or ``peer``; ``name``: the peer's."""

    kind: str
    name: str
    not_after: datetime


def install_server(home: Path, authority: Authority, names: Sequence[str], days: int = LEAF_DAYS) -> None:
    """Make key and certificate of the guard itself: ``server.key``, ``server.pem``. Open listeners take them by
    `contexts.reload`."""
    with locked(home):
        key, chain = authority.sign_server(names, days)
        write_next_key(home, SERVER, key)
        complete(home, SERVER, chain)


def renew_server(
    home: Path, authority: Authority, names: Sequence[str], *, within: timedelta = EARLY, clock: Clock | None = None
) -> bool:
    """`install_server` if there is no certificate, it ends within that time, begins later than now (it was made while
    the clock was ahead), or is not for all of ``names``. Whether it was."""
    now = (clock or SystemClock()).now()
    pem, _ = paths(home, SERVER)
    if pem.exists():
        present = leaf(pem)
        # With a clock that is behind the authority's own beginning nothing better could be made.
        begun = present.not_valid_before_utc <= max(now, authority.certificate.not_valid_before_utc)
        named = {str(general_name(name).value) for name in names} <= _names(present)
        end = present.not_valid_after_utc
        lasts = end > now + within or now < end >= authority.certificate.not_valid_after_utc  # none can last longer
        if begun and named and lasts:
            return False
    install_server(home, authority, names)
    return True


def expiring(home: Path, registry: Registry, within: timedelta = WARNING) -> list[Ending]:
    """All that ends in that time, the most pressing first. A peer that has renewed is not among it."""
    limit = registry.clock.now() + within
    own = (
        Ending("authority", "", load_authority_certificate(home).not_valid_after_utc),
        Ending("server", "", leaf(paths(home, SERVER)[0]).not_valid_after_utc),
    )
    peers = [Ending("peer", row.name, row.ends_at) for row in registry.expiring(within)]
    return sorted([*(one for one in own if one.not_after <= limit), *peers], key=lambda one: one.not_after)


def leaf(path: Path) -> x509.Certificate:
    """The first certificate of a PEM file. Raises `Failure`."""
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())[0]
    except (OSError, ValueError) as error:
        raise Failure(
            f"{path} cannot be read as a certificate ({type(error).__name__}): remove it, and the guard makes a new one"
        ) from None


def _names(certificate: x509.Certificate) -> set[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))}
