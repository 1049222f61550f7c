"""Population files: who lives at which address. TOML, checked before anything is opened.

name = "two-doors"
summary = "one archive behind two ports"

[[endpoint]]
address = "127.1.0.5"        # or a block, "127.64.0.0/18", with `count`
port = [104, 11112]
unprivileged_port = 10104    # instead of a port below 1024 where only root may open that one
persona = "dcmtk"
archive = { studies = 1200, images = 30.0, patients = 800, first = 2012-03-01, last = 2026-11-20 }
options = { limit = 500 }    # fields of the persona's door and answers, and its own options
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from importlib import resources
from ipaddress import ip_address, ip_network
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints
from zlib import crc32

import msgspec
from msgspec import Struct, structs

from leadapron.kernel.errors import UsageError
from leadapron.lab.archive.people import ID_STYLES, SCRIPTS
from leadapron.lab.archive.studies import Plan
from leadapron.lab.persona import Persona
from leadapron.lab.personas import personas
from leadapron.lab.server.profile import OPTIONS, Answers, Door

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
"""0: any free one."""

MADE = {"autumn-2019": "a census: 2,300 servers in 52 countries, 590 of them open; --wave 2 is sixty days later"}
"""Populations that are made and not listed, with their summaries: `lab.history` knows how."""
COMMON_OPTIONS = frozenset(("latency_ms",))


class ArchiveSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """An archive's volume. ``files = "pydicom"`` serves pydicom's own images instead of made-up studies.

    ``images``: the mean a study. ``seed``: by default from the address and port; in a block each address has its own
    unless ``shared``. The rest is as in ``Plan``.
    """

    studies: int = 200
    images: float = 30.0
    patients: int = 0
    seed: int | None = None
    shared: bool = False
    files: Literal["pydicom"] | None = None
    first: datetime.date = datetime.date(2009, 1, 5)
    last: datetime.date = datetime.date(2026, 11, 20)
    growth: float = 0.08
    tail: float = 1.3
    undated: int = 0
    odd_dates: dict[str, int] = {}
    odd_match: bool = False
    times: Literal["spread", "same", "none"] = "spread"
    script: str = "english"
    ids: str = "plain"
    canary: str = ""
    site: str = "Lead Apron Lab"


class EndpointSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """One ``[[endpoint]]``: an address or a block, one or more ports."""

    address: str
    port: Port | list[Port]
    persona: str
    count: int | None = None
    unprivileged_port: Port | None = None
    archive: ArchiveSpec = ArchiveSpec()
    options: dict[str, Any] = {}
    note: str = ""


class Population(Struct, frozen=True, forbid_unknown_fields=True):
    """A population file as read."""

    name: str
    endpoint: list[EndpointSpec]
    summary: str = ""


class Resident(Struct, frozen=True):
    """One endpoint to be opened: ``plan`` or ``files`` where the persona has an archive."""

    address: str
    port: int
    unprivileged_port: int | None
    persona: Persona
    door: Door | None
    answers: Answers
    plan: Plan | None
    files: str | None
    options: dict[str, Any]
    note: str


def shipped() -> dict[str, str]:
    """Names of the populations that come with the package, with their summaries."""
    found = {}
    for entry in sorted(resources.files("leadapron.lab.populations").iterdir(), key=lambda e: e.name):
        if entry.name.endswith(".toml"):
            population = _decode(entry.read_bytes(), entry.name)
            found[population.name] = population.summary
    return found | MADE


def load(name_or_path: str | Path, wave: int | None = None, scale: float | None = None) -> Population:
    """A shipped population by name, or one from a file. ``wave`` and ``scale`` are for a census that is made.

    Raises UsageError that says what is wrong with it.
    """
    text = str(name_or_path)
    if text in MADE:
        from leadapron.lab.history.autumn import population

        return population(1 if wave is None else wave, 1.0 if scale is None else scale)
    if wave is not None or scale is not None:
        raise UsageError(f"--wave and --scale are for {', '.join(MADE)}; {text} is as it is")
    if not text.endswith(".toml"):
        entry = resources.files("leadapron.lab.populations") / f"{text}.toml"
        if not entry.is_file():
            raise UsageError(
                f"no population is called {text!r}; there are {', '.join(shipped())}, or give a .toml file"
            )
        return _decode(entry.read_bytes(), text)
    try:
        return _decode(Path(text).read_bytes(), text)
    except OSError as error:
        raise UsageError(f"cannot read {text}: {error.strerror}") from None


def _decode(data: bytes, source: str) -> Population:
    try:
        return msgspec.toml.decode(data, type=Population)
    except msgspec.DecodeError as error:
        raise UsageError(f"{source}: {error}") from None


def residents(population: Population, canary: str = "") -> Iterator[Resident]:
    """Every endpoint of a population, blocks unrolled. Raises UsageError. ``canary`` goes into every archive."""
    for spec in population.endpoint:
        persona = personas().get(spec.persona)
        if persona is None:
            raise UsageError(f"{spec.address}: no persona is called {spec.persona!r}; `leadapron lab --list` shows all")
        door, answers = _overridden(spec, persona)
        ports = [spec.port] if isinstance(spec.port, int) else spec.port
        for place, address in enumerate(_addresses(spec)):
            for port in ports:
                yield Resident(
                    address=address,
                    port=port,
                    unprivileged_port=spec.unprivileged_port,
                    persona=persona,
                    door=door,
                    answers=answers,
                    plan=_plan(spec, place, ports[0], canary) if persona.archive and not spec.archive.files else None,
                    files=spec.archive.files if persona.archive else None,
                    options=dict(spec.options),
                    note=spec.note,
                )


def _addresses(spec: EndpointSpec) -> list[str]:
    try:
        if "/" in spec.address:
            network = ip_network(spec.address)
            if not network.is_loopback:
                raise UsageError(f"{spec.address}: the lab lives on loopback, 127.0.0.0/8, and nowhere else")
            found = [str(address) for address in islice(network.hosts(), spec.count)]
            if spec.count is not None and len(found) < spec.count:
                raise UsageError(f"{spec.address} has {len(found)} addresses, count is {spec.count}")
            return found
        if not ip_address(spec.address).is_loopback:
            raise UsageError(f"{spec.address}: the lab lives on loopback, 127.0.0.0/8, and nowhere else")
        return [spec.address]
    except ValueError as error:
        raise UsageError(f"{spec.address!r} is no address or network: {error}") from None


def _overridden(spec: EndpointSpec, persona: Persona) -> tuple[Door | None, Answers]:
    """The persona's door and answers with this endpoint's options put in."""
    door: dict[str, Any] = {}
    answers: dict[str, Any] = {}
    for name, value in spec.options.items():
        if name in OPTIONS:
            home, kind = (door, Door) if name in Door.__struct_fields__ else (answers, Answers)
            try:
                home[name] = msgspec.convert(value, get_type_hints(kind)[name])
            except msgspec.ValidationError as error:
                raise UsageError(f"{spec.address}: option {name}: {error}") from None
        elif name not in persona.options and name not in COMMON_OPTIONS:
            raise UsageError(f"{spec.address}: persona {persona.name} has no option {name!r}")
    if door and persona.door is None:
        raise UsageError(f"{spec.address}: persona {persona.name} is no DICOM server and has no {', '.join(door)}")
    changed = structs.replace(persona.door, **door) if persona.door else None
    return changed, structs.replace(persona.answers, **answers)


def _plan(spec: EndpointSpec, place: int, port: int, canary: str) -> Plan:
    a = spec.archive
    if a.script not in SCRIPTS or a.ids not in ID_STYLES:
        raise UsageError(f"{spec.address}: script is one of {', '.join(SCRIPTS)}; ids one of {', '.join(ID_STYLES)}")
    odd = ((("", a.undated),) if a.undated else ()) + tuple(a.odd_dates.items())
    if a.studies < 1 or sum(count for _, count in odd) > a.studies:
        raise UsageError(f"{spec.address}: an archive has at least one study, and no more odd dates than studies")
    if a.last < a.first:
        raise UsageError(f"{spec.address}: the archive's last day is before its first")
    seed = crc32(f"{spec.address}:{port}".encode()) if a.seed is None else a.seed
    return Plan(
        seed=seed if a.shared else seed + place,
        studies=a.studies,
        patients=a.patients,
        images_mean=a.images,
        tail=a.tail,
        first=a.first,
        last=a.last,
        growth=a.growth,
        odd_dates=odd,
        odd_match=a.odd_match,
        times=a.times,
        script=a.script,
        ids=a.ids,
        canary=canary or a.canary,
        site=a.site,
    )
