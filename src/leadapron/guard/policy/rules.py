"""What is written down about one peer: a ``[[guard.peer]]`` table of ``leadapron.toml``."""

from __future__ import annotations

from msgspec import Struct, field


class PeerRules(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``name`` is ours for it, ``ae`` its AE title (PS3.8: 1 to 16 characters).

    ``may``: operations (``store``, ``dicom:store`` or ``web:query``; no surface means ``dicom``); empty means nothing.
    ``from_``: networks or addresses it may come from; empty means from anywhere, with its certificate.
    ``move_to``: AE titles that it may name as C-MOVE destinations; empty means none.
    ``modalities``: what it may store, as (0008,0060) or SOP classes tell; empty means all.
    ``hours``: ``"07:00-20:00"``, local time, may pass midnight; None means always.
    ``max_results``: answers to one query; ``studies_per_hour``: retrieved; ``requests_per_minute``: of every kind.
    ``receive``: ``host:port`` where it takes C-STORE over TLS, if it is a destination behind the guard.
    ``user``: name that it must also show in user identity negotiation (PS3.7 D.3.3.7); its secret is elsewhere.
    """

    name: str
    ae: str
    may: tuple[str, ...] = ()
    from_: tuple[str, ...] = field(default=(), name="from")
    move_to: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    hours: str | None = None
    max_results: int = 2_000
    studies_per_hour: int = 100
    requests_per_minute: int = 600
    receive: str | None = None
    user: str | None = None
