"""What a notice can say: the facts about one exposure, safe to print, and nothing else.

Templates see this record and no other, so what is not in it cannot be said: no title that was tried, no evidence, no
certificate, no word of a server but the name of its software, cleaned and cut. Of patients there are numbers only.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Final, Literal

import msgspec
from msgspec import Struct

from leadapron.kernel.hostport import HostPort
from leadapron.watch.measure.judge import judge
from leadapron.watch.measure.judge.remedies.data import GENERIC, Part, has, product_of, remedy
from leadapron.watch.measure.model import Count, Measurement
from leadapron.watch.measure.software import remedy_file
from leadapron.watch.reach.notices.layout import plain
from leadapron.watch.reach.notices.model import LANGUAGES
from leadapron.watch.reach.notices.settings import Notices
from leadapron.watch.track.exposures.model import Exposure

Bound = Literal["exact", "least", "about"]
Ability = Literal["list", "connect", "retrieve", "store", "worklist", "plain"]

LONGEST_SOFTWARE: Final = 60
LONGEST_NAME: Final = 200
MARK: Final = 8  # hexadecimal digits: enough against guessing by mail, and few enough to copy them off paper
_ELSEWHERE: Final = re.compile(r" \(see \*[^*]+\*\)")  # another section of the file, which a notice does not have
_SECTION: Final = "access"  # of the remedy files: what lets in one's own devices only


class Us(Struct, frozen=True):
    """Who writes; ``signature`` is lines."""

    organisation: str
    page: str
    reply_to: str
    opt_out: str
    signature: str


class Facts(Struct, frozen=True, kw_only=True):
    """``mark``: what who answers or opts out names. ``product``: the remedy file that suits, None where it is the
    generic one; ``bound``: of all three counts. ``commands``: how to check it oneself. ``duty``: the law's name,
    ``duty_sentence`` what it asks, ``duty_country`` where: the owner's country, which need not be the server's.
    ``notices``: how many were sent so far. Dates are ISO 8601."""

    us: Us
    level: int
    framing: str
    reference: str
    mark: str
    address: str
    port: int
    endpoint: str
    records: bool
    studies: int | None
    images: int | None
    patients: int | None
    bound: Bound
    since: str
    seen: str
    software: str | None
    product: str | None
    severity: str | None
    abilities: tuple[Ability, ...]
    commands: tuple[str, ...]
    appendix: str | None
    organisation: str | None
    person: str | None
    country: str | None
    duty_country: str | None
    duty: str | None
    duty_sentence: str | None
    notices: int
    first_notice: str | None


def printable(text: str | None, longest: int) -> str | None:
    """One line of what may be shown, cut; None for nothing."""
    if text is None:
        return None
    kept = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * longest]).split())
    return (kept if len(kept) <= longest else kept[: longest - 1] + "…") or None


def reference(case_id: int) -> str:
    """How a case is called in letters."""
    return f"LA-{case_id}"


def mark(case_id: int, token: str) -> str:
    """How who answers names one notice. Numbers can be counted up, so a part of its Message-ID stands behind: nobody
    else knows it, and what names it is believed to come from whoever has the notice."""
    return f"{reference(case_id)}-{token[:MARK]}"


def token(message_id: str) -> str:
    """The part of a Message-ID of ours that nobody can guess."""
    return message_id.partition("@")[0].rpartition(".")[2]


def facts(
    exposure: Exposure,
    measurement: Measurement,
    settings: Notices,
    *,
    case_id: int,
    token: str,
    level: int,
    framing: str,
    language: str,
    organisation: str | None,
    person: str | None,
    country: str | None,
    duty_country: str | None,
    duty: str | None,
    duty_sentence: str | None,
    notices: int,
    first_notice: str | None,
) -> Facts:
    """``settings``: as the sender who was drawn writes. ``country`` is a name in the notice's language."""
    settings.require()
    product = _product(measurement)
    software = printable(_software(exposure, product), LONGEST_SOFTWARE)
    return Facts(
        us=Us(
            settings.organisation or "",
            settings.page or "",
            settings.reply_to or "",
            settings.opt_out or "",
            "\n".join(line for line in (settings.person, settings.organisation, settings.postal) if line),
        ),
        level=level,
        framing=framing,
        reference=reference(case_id),
        mark=mark(case_id, token),
        address=exposure.address,
        port=exposure.port,
        endpoint=str(HostPort(exposure.address, exposure.port)),
        records=exposure.verdict == "exposed",
        studies=exposure.studies,
        images=exposure.images,
        patients=exposure.patients,
        bound=_bound(measurement, exposure),
        since=exposure.opened_at,
        seen=exposure.last_open,
        software=software,
        product=product,
        severity=exposure.severity,
        abilities=_abilities(measurement, exposure),
        commands=commands(exposure),
        appendix=None if product is None else appendix(product, language),
        organisation=printable(organisation, LONGEST_NAME),
        person=printable(person, LONGEST_NAME),
        country=country,
        duty_country=duty_country,
        duty=duty,
        duty_sentence=duty_sentence,
        notices=notices,
        first_notice=first_notice,
    )


def commands(exposure: Exposure) -> tuple[str, ...]:
    """What the owner types to look for themselves: a scope of that one address, then the scan within it."""
    return (
        f"leadapron scope new mine.toml --include {exposure.address}",
        f"leadapron scan {exposure.address} --port {exposure.port} --scope mine.toml",
    )


def _software(exposure: Exposure, product: str | None) -> str:
    """As the server names it; with the product whose steps stand in the notice where that is another one."""
    named = " ".join(part for part in (exposure.product, exposure.version) if part)
    return (
        f"{named}, {product_of(product)}?" if product and named and product != remedy_file(exposure.product) else named
    )


def _product(measurement: Measurement) -> str | None:
    for finding in judge(measurement).findings:
        if finding.remedies and finding.remedies[0] != GENERIC:
            return finding.remedies[0]
    return None


def _bound(measurement: Measurement, exposure: Exposure) -> Bound:
    count = measurement.count
    if isinstance(count, Count) and count.method == "estimate":
        return "about"
    return "exact" if exposure.complete else "least"


def _abilities(measurement: Measurement, exposure: Exposure) -> tuple[Ability, ...]:
    """Read off what the server offered when it was measured: nothing of it was tried."""
    found: list[Ability] = ["list" if exposure.verdict == "exposed" else "connect"]
    offered = judge(measurement).capabilities
    if offered is not None:
        if offered.retrieve:
            found.append("retrieve")
        if offered.store:
            found.append("store")
        if offered.worklist:
            found.append("worklist")
    if exposure.transport == "tcp":
        found.append("plain")
    return tuple(found)


def appendix(product: str, language: str) -> str | None:
    """The product's own steps, in full, as they were tried on it; in English where nobody has translated them."""
    if not has(product, _SECTION):
        return None
    found = remedy(product, _SECTION)
    said = _translated(language).get(product)
    title, said_steps = (found.title, found.steps) if said is None else (said.title, said.filled(found.parts))
    alone = (_ELSEWHERE.sub("", step) for step in said_steps)
    steps = [f"{number}. {plain(step)}" for number, step in enumerate(alone, start=1)]
    return "\n\n".join([title, *steps])


class Translated(Struct, frozen=True, forbid_unknown_fields=True):
    """A section of a remedy file in another language. What is put in place is the remedy's own, the same in all."""

    title: str
    steps: tuple[str, ...]

    def filled(self, parts: Mapping[str, Part]) -> tuple[str, ...]:
        """The steps, with ``<name>`` alone on a line replaced by the part of that name."""
        return tuple(
            "\n".join(
                parts[line[1:-1]].rendered() if line[:1] == "<" and line[1:-1] in parts else line
                for line in step.splitlines()
            )
            for step in self.steps
        )


@lru_cache(maxsize=len(LANGUAGES))
def _translated(language: str) -> dict[str, Translated]:
    file = resources.files(__package__).joinpath("remedies", f"{language}.toml")
    if not file.is_file():
        return {}
    return msgspec.convert(tomllib.loads(file.read_text("utf-8")), dict[str, Translated])
