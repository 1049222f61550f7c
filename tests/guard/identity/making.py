"""A guard's directory with an authority, and peers of it; a clock that is set by hand."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from leadapron.guard.identity import export, issuing
from leadapron.guard.identity.authority import Authority
from leadapron.guard.identity.csr import PrivateKey, key_pem, new_key, request
from leadapron.guard.identity.registry import Registry
from leadapron.guard.identity.renewal import install_server

NAMES = ("guard.example", "127.0.0.1", "localhost")


@dataclass
class Hand:
    """A clock that stands at the present moment (whole seconds) until it is moved."""

    time: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()

    def move(self, **by: float) -> None:
        self.time += timedelta(**by)


@dataclass
class Guarded:
    """``home`` with authority, server certificate and registry."""

    home: Path
    clock: Hand
    authority: Authority
    registry: Registry


def guarded(home: Path, clock: Hand | None = None) -> Guarded:
    clock = clock or Hand()
    authority = Authority.create(home, "Practice of the tests", clock=clock)
    install_server(home, authority, NAMES)
    return Guarded(home, clock, authority, Registry(home, clock))


def issued(
    guard: Guarded, name: str = "CT1", ae: str = "CT1", *, days: int = 365, key: PrivateKey | None = None
) -> export.KeyPair:
    """A peer's key and certificate, taken into the registry."""
    key = key or new_key()
    done = issuing.issue(guard.registry, guard.authority, request(key), name=name, ae=ae, days=days)
    return export.KeyPair(key_pem(key), done.chain)


def peer_directory(guard: Guarded, directory: Path, name: str = "CT1", ae: str = "CT1", *, days: int = 365) -> Path:
    export.write_pem(directory, issued(guard, name, ae, days=days))
    return directory


def der(chain: bytes) -> bytes:
    """The first certificate of a PEM file."""
    return ssl.PEM_cert_to_DER_cert(
        chain.decode().split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"
    )
