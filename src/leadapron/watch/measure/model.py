"""What one visit to an endpoint found: frozen records, a failed measurement among them (invariant 8).

Nothing here can hold a patient's datum: numbers, booleans, the standard's UIDs, and the product's own names.
A measurement is stored as it is; verdict and findings are computed from it and can be computed again.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Transport = Literal["tcp", "tls"]
Depth = Literal["touch", "capabilities", "count", "estimate"]


# ---- how one attempt to associate ended: a closed union -------------------------------------------------------------


class Accepted(Struct, frozen=True, tag="accepted"):
    """A-ASSOCIATE-AC. ``contexts``: the abstract syntaxes that were accepted, in the order proposed.

    ``tells`` are ways in which no real archive behaves, by name (see ``tells.py``); ``max_pdu`` in octets, 0 no limit.
    """

    contexts: tuple[str, ...]
    max_pdu: int | None = None
    implementation_class_uid: str | None = None
    implementation_version_name: str | None = None
    tells: tuple[str, ...] = ()


class Rejected(Struct, frozen=True, tag="rejected"):
    """A-ASSOCIATE-RJ, PS3.8 §9.3.4: the three octets as sent."""

    result: int
    source: int
    reason: int


class Aborted(Struct, frozen=True, tag="aborted"):
    """A-ABORT, PS3.8 §9.3.8."""

    source: int
    reason: int


class Refused(Struct, frozen=True, tag="refused"):
    """The connection was refused or the host unreachable; ``error`` names the errno, ``ETIMEDOUT`` for no answer."""

    error: str


class Silent(Struct, frozen=True, tag="silent"):
    """Connected, and nothing (or not enough) came in time. ``received`` counts octets."""

    waited_s: float
    received: int = 0


class HungUp(Struct, frozen=True, tag="hung-up"):
    """Connected, then closed or reset by the peer before an answer. ``reset`` for RST."""

    reset: bool
    received: int = 0


class NotDicom(Struct, frozen=True, tag="not-dicom"):
    """Answered in another protocol: ``http``, ``ssh``, ``tls``, ``smtp``, ``ftp``, ``rdp`` … or ``unknown``."""

    protocol: str


class Malformed(Struct, frozen=True, tag="malformed"):
    """Spoke DICOM and broke it: ``detail`` says how, in our words and numbers only."""

    detail: str


class TlsFailed(Struct, frozen=True, tag="tls-failed"):
    """The TLS handshake ended badly. ``client_certificate_wanted`` when the server asked for one and turned us away."""

    error: str
    client_certificate_wanted: bool = False


class Failed(Struct, frozen=True, tag="failed"):
    """Our own fault (out of file descriptors, overrun loop, a bug): never the server's."""

    reason: str


Outcome = Accepted | Rejected | Aborted | Refused | Silent | HungUp | NotDicom | Malformed | TlsFailed | Failed


class Certificate(Struct, frozen=True):
    """What a TLS server showed: names are the machine's and its owner's, not a patient's. Times are ISO 8601 UTC."""

    sha256: str
    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: str
    not_after: str
    self_signed: bool


class Tls(Struct, frozen=True):
    version: str
    cipher: str
    certificate: Certificate | None = None


class Attempt(Struct, frozen=True):
    """One attempt to associate, with the titles used."""

    transport: Transport
    called: str
    calling: str
    outcome: Outcome
    tls: Tls | None = None


# ---- what was asked over an accepted association --------------------------------------------------------------------


class Echo(Struct, frozen=True):
    """C-ECHO: ``status`` as answered (0 is success), or None with ``failure`` saying why there is none."""

    status: int | None
    failure: str | None = None


class Interval(Struct, frozen=True):
    """95 % interval, low and high."""

    studies: tuple[int, int]
    images: tuple[int, int] | None = None


class Count(Struct, frozen=True, tag="count"):
    """Studies, images and patients that a stranger can list.

    ``method``: ``exact`` (each study was answered and counted), ``lower-bound``, ``estimate``. ``complete`` only where
    nothing can have been missed. ``note`` says why not, in our words. ``images`` None: the server would not say.
    ``limit`` is the largest number of answers that the server gives at once, where one was detected.
    ``tells`` are decoy tells seen in the answers. ``requests`` C-FINDs, ``answers`` pending responses in all.
    """

    patients: int | None
    studies: int
    images: int | None
    complete: bool
    method: Literal["exact", "lower-bound", "estimate"]
    interval: Interval | None = None
    note: str | None = None
    limit: int | None = None
    undated: int = 0
    requests: int = 0
    answers: int = 0
    tells: tuple[str, ...] = ()


class CountFailed(Struct, frozen=True, tag="count-failed"):
    """No query was answered. ``status``: the DIMSE status of the refusal, if it was one."""

    reason: str
    status: int | None = None
    requests: int = 0


class Shapes(Struct, frozen=True):
    """Which kinds of identifiers the answers hold: presence only. None: not looked at."""

    names: bool | None = None
    birth_dates: bool | None = None
    national_ids: bool | None = None


class Load(Struct, frozen=True):
    """What we asked of the device in this visit. ``requests`` are DIMSE requests (C-ECHO, C-FIND)."""

    connections: int = 0
    associations: int = 0
    requests: int = 0


class Measurement(Struct, frozen=True):
    """One finished visit to an endpoint. ``observed_at``: ISO 8601 UTC, ``elapsed_s``: seconds."""

    address: str
    port: int
    depth: Depth
    attempts: tuple[Attempt, ...]
    observed_at: str
    elapsed_s: float
    load: Load = Load()
    echo: Echo | None = None
    count: Count | CountFailed | None = None
    shapes: Shapes | None = None
    schema: int = 1

    @property
    def last(self) -> Attempt:
        """The attempt that tells most: an accepted one if there is one, else the last one tried."""
        for attempt in self.attempts:
            if isinstance(attempt.outcome, Accepted):
                return attempt
        return self.attempts[-1]
