"""Names in the TLS certificate that a server showed when it was scanned; nobody is asked for them.

Anybody may put any name into a certificate of their own. Where DNS may be asked, a name that leads to the server's
address is marked (`LEADS`).

Only host names under a public suffix are kept. A subject may hold a person's name, and ``pacs.local`` says nothing.
"""

from __future__ import annotations

import re
from typing import Final

from leadapron.watch.measure.model import Certificate, Measurement
from leadapron.watch.track.owner.domains import registrable
from leadapron.watch.track.owner.model import Found
from leadapron.watch.track.owner.text import host_name

ISSUED: Final = "TLS certificate, issued by an authority (not verified)"
LEADS: Final = "TLS certificate, and the name leads to the address"
SELF_SIGNED: Final = "TLS certificate, self-signed"
MOST_NAMES: Final = 8
_COMMON_NAME = re.compile(r"(?:^|,)\s*CN=((?:[^,\\]|\\.){1,253})", re.IGNORECASE)  # of a subject after RFC 4514


def names(measurement: Measurement) -> tuple[Found, ...]:
    """The certificate's host names, the subject's common name first."""
    found: dict[str, Found] = {}
    for attempt in measurement.attempts:
        certificate = None if attempt.tls is None else attempt.tls.certificate
        if certificate is None:
            continue
        source = SELF_SIGNED if certificate.self_signed else ISSUED
        for text in _texts(certificate):
            name = host_name(text)
            if name is not None and registrable(name) is not None:
                found.setdefault(name, Found("certificate-name", name, source))
    return tuple(found.values())[:MOST_NAMES]


def _texts(certificate: Certificate) -> list[str]:
    return [*_COMMON_NAME.findall(certificate.subject), *certificate.names]
