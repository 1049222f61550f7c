"""What is written down about one peer: a ``[[guard.peer]]`` table of ``leadapron.toml``."""

from __future__ import annotations

from msgspec import Struct, field


class PeerRules(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``name`` is ours for it, ``ae`` its AE title (PS3.8: 1 to 16 characters).

    A list that is written and empty means nobody, nowhere, nothing. ``may`` and ``move_to`` mean that too where they
    are not written: what is granted stands in the file. ``from`` and ``modalities`` narrow what was granted; not
    written (None) they narrow nothing: the key of the door is the certificate, and many devices have no fixed address.

    ``may``: operations (``store``, ``dicom:store`` or ``web:query``; no surface means ``dicom``).
    ``from_`` (``from`` in the file): networks, ranges or addresses it may come from.
    ``move_to``: AE titles that it may name as C-MOVE destinations; each must be a peer's, too.
    ``modalities``: what it may store: values of (0008,0060), or SOP Class UIDs. Where the SOP class does not say which
    modality it is (Secondary Capture, for one) and nobody has read (0008,0060), only a UID in the list helps.
    ``private``: UIDs of private storage classes that it may store and get; others nobody may.
    ``hours``: ``"07:00-20:00"``, ``"mo-fr 07:00-20:00; sa 08:00-13:00"``: local time, may pass midnight (the day is the
    one on which it begins); None means always.
    ``max_results``: answers to one query; ``studies_per_hour``: retrieved, by C-GET, C-MOVE and WADO together;
    ``requests_per_minute``: of every kind but single objects (C-STORE, one WADO object), which the line itself paces.
    ``receive``: ``host:port`` where it takes C-STORE over TLS, if it is a destination behind the guard.
    ``user``: name that it must also show in user identity negotiation (PS3.7 D.3.3.7); its secret is elsewhere.
    """

    name: str
    ae: str
    may: tuple[str, ...] = ()
    from_: tuple[str, ...] | None = field(default=None, name="from")
    move_to: tuple[str, ...] = ()
    modalities: tuple[str, ...] | None = None
    private: tuple[str, ...] = ()
    hours: str | None = None
    max_results: int = 2_000
    studies_per_hour: int = 100
    requests_per_minute: int = 600
    receive: str | None = None
    user: str | None = None
