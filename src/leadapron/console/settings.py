"""The console's part of ``leadapron.toml``: section ``[console]``, every key of it also ``LEADAPRON_CONSOLE__…``.

Loopback is served without TLS, for there is nobody between; anything else is not. A certificate is the operator's own,
or, where none is named, the one that the guard's authority gave this machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct, structs

from leadapron.guard.settings import Guard, Oidc
from leadapron.kernel.config import Settings, load
from leadapron.kernel.errors import UsageError
from leadapron.kernel.hostport import HostPort, parse_host_port

LISTEN: Final = "127.0.0.1:8484"
LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "::1")


class Console(Struct, frozen=True, kw_only=True):
    """``listen``: ``host:port``. ``names``: host names and addresses that browsers may call it by, the first one for
    links. ``certificate`` and ``key``: PEM files. ``idle_s``, ``absolute_s``: when a session ends, in seconds.
    ``scopes``: scope files that the page *Scopes* shows beside those of campaigns. ``oidc``: an OpenID provider where
    people log in; left out it is the guard's, where the same file has one."""

    listen: str = LISTEN
    names: tuple[str, ...] = ()
    certificate: str | None = None
    key: str | None = None
    idle_s: int = 15 * 60
    absolute_s: int = 10 * 3600
    scopes: tuple[str, ...] = ()
    oidc: Oidc | None = None

    @property
    def place(self) -> HostPort:
        """Where it listens. Raises `UsageError`."""
        return parse_host_port(self.listen, "[console] listen", any_port=True)

    @property
    def plain(self) -> bool:
        """Whether it is served without TLS: on loopback, where no certificate is named."""
        return self.place.loopback and self.certificate is None

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names that a request may call it by; a page elsewhere whose name leads here is none of them."""
        own = LOOPBACK_NAMES if self.place.loopback else ()
        return tuple(dict.fromkeys((*(name.lower() for name in self.names), *own)))

    def origins(self, port: int) -> tuple[str, ...]:
        """How browsers call it: ``https://host:port``."""
        scheme = "http" if self.plain else "https"
        return tuple(f"{scheme}://{HostPort(name, port)}" for name in self.hosts)


class _File(Settings, frozen=True, kw_only=True):
    console: Console | None = None  # type: ignore[assignment]
    guard: Guard | None = None  # type: ignore[assignment]


def load_console(path: Path | None = None, environment: Mapping[str, str] | None = None) -> Console | None:
    """The section ``[console]``, None where there is none. Raises `UsageError` for what cannot be meant."""
    file = load(_File, path=path, environment=environment)
    settings = file.console
    if settings is not None and settings.oidc is None and file.guard is not None:
        settings = structs.replace(settings, oidc=file.guard.oidc)
    return None if settings is None else checked(settings)


def checked(settings: Console) -> Console:
    """Raises `UsageError` for values that cannot be meant."""
    place = settings.place
    if (settings.certificate is None) != (settings.key is None):
        raise UsageError("[console] certificate and key belong together: name both, or neither")
    if not place.loopback and not settings.names:
        raise UsageError(
            f"[console] listens on {place} and has no names: write how browsers reach it, "
            'names = ["watch.example.org"], or listen on 127.0.0.1'
        )
    if not 60 <= settings.idle_s <= settings.absolute_s <= 7 * 86_400:
        raise UsageError("[console] idle_s must be from 60 up to absolute_s, and that at most 604800 (a week)")
    if settings.oidc is not None and not place.port:
        raise UsageError("[console] listen: with an OpenID provider, which sends people back, it takes a fixed port")
    return settings
