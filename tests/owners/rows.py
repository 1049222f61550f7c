"""Exposures as rows, files in MaxMind's format, and settings for tests of owner hints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from leadapron.watch.measure.model import Accepted, Attempt, Certificate, Measurement, Tls
from leadapron.watch.track.owner.settings import Lookups
from leadapron.watch.track.tables import exposures, scans, sightings

AT = "2026-11-21T20:00:00Z"


def certificate(*names: str, subject: str = "CN=pacs", self_signed: bool = True) -> Certificate:
    return Certificate("ab" * 32, subject, subject, names, AT, "2027-11-21T20:00:00Z", self_signed)


def add(engine: sa.Engine, address: str, port: int = 104, shown: Certificate | None = None, **more: Any) -> int:
    """An open exposure; its number."""
    tls = None if shown is None else Tls("TLSv1.3", "TLS_AES_256_GCM_SHA384", shown)
    attempt = Attempt("tls" if tls else "tcp", "ANY-SCP", "LEADAPRON", Accepted(()), tls)
    measurement = msgspec.json.encode(Measurement(address, port, "count", (attempt,), AT, 0.5)).decode()
    seen = {"address": address, "port": port, "transport": attempt.transport, "service": "dicom", "verdict": "exposed"}
    with engine.begin() as connection:
        scan = connection.execute(
            scans.insert().values(
                started_at=AT, state="done", targets="[]", options="{}", seed=1, position=0, tally="{}"
            )
        ).inserted_primary_key
        assert scan is not None
        sighting = connection.execute(
            sightings.insert().values(
                **seen, scan_id=scan[0], observed_at=AT, measurement=measurement, record="{}", studies=7
            )
        ).inserted_primary_key
        assert sighting is not None
        times = dict.fromkeys(("first_seen", "opened_at", "last_open", "last_answer"), AT)
        key = connection.execute(
            exposures.insert().values(
                **seen,
                **times,
                state="open",
                proofs=0,
                episodes=1,
                sighting_id=sighting[0],
                certificate=None if shown is None else shown.sha256,
                marks="{}",
                **more,
            )
        ).inserted_primary_key
    assert key is not None
    return int(key[0])


def place(engine: sa.Engine, exposure_id: int) -> tuple[str | None, int | None, str | None]:
    """Country, number and operator of an exposure as stored."""
    columns = exposures.c.country, exposures.c.asn, exposures.c.operator
    with engine.connect() as connection:
        country, asn, operator = connection.execute(sa.select(*columns).where(exposures.c.id == exposure_id)).one()
    return country, asn, operator


def mmdb(path: Path, networks: dict[str, dict[str, Any]], kind: str = "Test-Country") -> str:
    writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type=kind)
    for network, record in networks.items():
        writer.insert_network(IPSet([network]), record)
    writer.to_db_file(str(path))
    return str(path)


def quick(**more: Any) -> Lookups:
    """Settings for stand-ins: nothing is asked unless it is said, and nothing waits long."""
    values: dict[str, Any] = {
        "dns": False,
        "rdap": False,
        "dns_rate": 1000.0,
        "rdap_rate": 1000.0,
        "web_rate": 1000.0,
        "dns_timeout_s": 10.0,
        "http_timeout_s": 20.0,
    }
    return Lookups(**{**values, **more})


# ---- RDAP ------------------------------------------------------------------------------------------------------------


def card(fn: str, kind: str | None, email: str | None = None, org: str | None = None) -> list[Any]:
    properties: list[Any] = [["version", {}, "text", "4.0"], ["fn", {}, "text", fn]]
    properties += [["kind", {}, "text", kind]] if kind else []
    properties += [["org", {}, "text", org]] if org else []
    properties += [["email", {}, "text", email]] if email else []
    properties += [["tel", {"type": "voice"}, "uri", "tel:+49-30-5550199"], ["adr", {}, "text", ["Privatweg 7"]]]
    return ["vcard", properties]


def network(first: str, last: str, **more: Any) -> dict[str, Any]:
    return {
        "objectClassName": "ip network",
        "handle": "NET-1",
        "name": "EXAMPLE-NET",
        "startAddress": first,
        "endAddress": last,
        "country": "DE",
        "entities": [
            {"roles": ["registrant"], "vcardArray": card("Example Telecom AG", "org")},
            {
                "roles": ["technical"],
                "vcardArray": card("Erika Mustermann", "individual", "erika.mustermann@telecom.example.com"),
                "entities": [
                    {"roles": ["abuse"], "vcardArray": card("Abuse desk", "group", "abuse@telecom.example.com")}
                ],
            },
        ],
        **more,
    }
