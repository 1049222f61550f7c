"""From a host name to the domain that somebody registered, by the public suffix list.

The list has two parts. Under a suffix of ICANN's part (``co.uk``) a name is registered; under one of the private part
(``synology.me``, ``dyndns.org``) a name is a customer's at somebody's service. The latter says little of an owner,
and its mail goes to the service: such a name is ``hosted``.

A name that holds its own address (``p5b0c1a2f.dip0.isp.example``, ``static-203-0-113-7.isp.example``) was made by the
network's operator for a line, and names the operator, not who rents it.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from typing import Final

from msgspec import Struct
from publicsuffixlist import PublicSuffixList

from leadapron.watch.track.owner.text import host_name

_LINE: Final = re.compile(
    r"(?:^|[.\d_-])(?:dyn(?:amic)?|dhcp|dsl|[avs]dsl|cable|pool|ppp(?:oe)?|dial(?:up|in)?|broadband|cust(?:omer)?|static"
    r"|ftth|fttx|fiber|res(?:idential)?|rev(?:erse)?|unassigned|compute)(?=[.\d_-]|$)"
)


class Domain(Struct, frozen=True):
    """``name``: the registrable domain. ``hosted``: a customer's name at somebody's service."""

    name: str
    hosted: bool


def registrable(name: str) -> Domain | None:
    """The registrable domain of a host name; None where there is none (``localhost``, ``pacs.local``, ``co.uk``)."""
    clean = host_name(name)
    if clean is None:
        return None
    every, icann = _lists()
    own, public = every.privatesuffix(clean), icann.privatesuffix(clean)
    if public is None:
        return None
    return Domain(own or public, own != public)


def made_from_address(name: str, address: str) -> bool:
    """Whether a name was made by a network's operator for a line: it holds the address, or says what the line is."""
    domain = registrable(name)
    label = name if domain is None else name.removesuffix(domain.name)
    return _holds(label, address) or bool(_LINE.search(label))


def _holds(label: str, address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    digits = re.sub(r"[^0-9a-f]", "", label)
    if parsed.packed.hex() in digits:
        return True
    if parsed.version == 6:
        return sum(group.lstrip("0") in label for group in parsed.exploded.split(":") if group.strip("0")) >= 4
    octets = [int(run) for run in re.findall(r"\d{1,3}", label)]
    wanted = list(parsed.packed)
    runs = [octets[at : at + 4] for at in range(len(octets) - 3)]
    if wanted in runs or wanted[::-1] in runs:
        return True
    return "".join(f"{one:03d}" for one in wanted) in label


@functools.cache
def _lists() -> tuple[PublicSuffixList, PublicSuffixList]:
    return PublicSuffixList(accept_unknown=False), PublicSuffixList(accept_unknown=False, only_icann=True)
