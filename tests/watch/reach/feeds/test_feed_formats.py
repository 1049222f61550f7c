"""Each format, held to the rules of those who read it. The rules are restated here as facts, with where they stand."""

from __future__ import annotations

import csv
import io
import ipaddress
import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
import stix2
from hypothesis import given
from hypothesis import strategies as st

from leadapron.cli.feed import FORMATS
from leadapron.watch.measure.judge import known_findings
from leadapron.watch.measure.record import FindingRef
from leadapron.watch.reach.feeds import about, plain
from leadapron.watch.reach.feeds import csv as csv_feed
from leadapron.watch.reach.feeds.about import About
from leadapron.watch.reach.feeds.entries import Selection, read
from leadapron.watch.reach.feeds.formats import writer
from leadapron.watch.reach.feeds.weakness import CWES, weaknesses
from leadapron.watch.track.owner import rdap
from owners import rows
from planted import FINDINGS, Planting
from sightings import archive, exact
from watch_folding import round_of, with_certificate

ABOUT = About(sender="CERT Example", made_at="2026-11-22T06:00:00Z", tlp="amber")
HOSTILE = (
    "=cmd|' /C calc'!A0",
    "@SUM(1+9)*cmd",
    "\u001b[2J\u001b]0;owned\u0007",
    "<script>alert(1)</script>",
    "a\r\nBcc: x@example.org\r\n\r\n",
    "\u202egnp.exe",
    "x" * 5000,
    "'; DROP TABLE exposures; --",
    "\u0000\u0001\u007f\u0085",
    "＝1+1",
)


def written(engine: sa.Engine, format_: str, said: About = ABOUT, **selection: Any) -> str:
    return "".join(writer(format_)(read(engine, Selection(**selection)), said))


def street(engine: sa.Engine) -> list[int]:
    """One of each kind: open, closed, TLS over IPv6, a second door, strangers' strings everywhere."""
    planting = Planting(engine)
    told = {
        "reverse-dns": "Pacs.Example.ORG.",
        "abuse-mailbox": "Abuse@Example.org",
        "rdap-network": "EXAMPLE-NET (NET-1), 198.51.0.0–198.51.255.255",
    }
    first = planting.put(told=told)
    closed = [("2026-09-01T10:00:00Z", "opened"), ("2026-09-20T10:00:00Z", "closed")]
    return [
        first,
        planting.put(story=closed, country="FR", asn=3215),
        planting.put(address="2001:db8::5", port=2762, transport="tls", door_of=first),
        planting.put(address="fe80::1%eth0", studies=None, images=None, patients=None, complete=None, severity=None),
        planting.put(country=None, asn=None, operator=None, product=None, version=None, verdict="open", findings=()),
        *(
            planting.put(
                product=text[:80].replace("\0", " "),
                version=text[:40].replace("\0", " "),
                operator=text.replace("\0", " "),
                asn=0,
                told={"reverse-dns": text.replace("\0", " "), "abuse-mailbox": text.replace("\0", " ")},
                findings=(FindingRef("gone-since", "high"), *FINDINGS),
            )
            for text in HOSTILE
        ),
    ]


# ---- all of them ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", FORMATS)
def test_a_feed_is_the_same_each_time_and_printable(engine: sa.Engine, format_: str) -> None:
    street(engine)
    text = written(engine, format_, state="all")
    assert text == written(engine, format_, state="all")
    for line in text.removesuffix("\n").split("\n"):
        assert line.isprintable(), line
    assert "x" * 201 not in text
    assert "eth0" not in text, "a zone means nothing elsewhere"


@pytest.mark.parametrize("format_", FORMATS)
def test_identifiers_do_not_come_from_the_database(engine: sa.Engine, format_: str) -> None:
    Planting(engine).put()
    text = written(engine, format_)
    with engine.begin() as connection:
        for table in ("hints", "events", "exposures"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
    again = Planting(engine)
    again.put(address="203.0.113.1")
    again.number = 0
    again.put()
    pattern = r"[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    found = set(re.findall(pattern, text.rpartition("bundle--")[0] or text))
    assert found and found <= set(re.findall(pattern, written(engine, format_)))


@pytest.mark.parametrize("format_", FORMATS)
def test_a_feed_of_nothing(engine: sa.Engine, format_: str) -> None:
    text = written(engine, format_)
    if format_ == "csv":
        assert text.count("\n") == 1
    elif format_ == "stix":
        bundle = stix2.parse(text, allow_custom=False)
        assert [one.type for one in bundle.objects] == ["marking-definition", "identity"]
    else:
        assert text == ""


# ---- a server that left for another address ----------------------------------------------------------------------


def relocation(engine: sa.Engine, *, sure: bool = True) -> None:
    """One server moves from 127.0.0.1 to ::7, one stays, one is closed; all by folding."""
    here, there = archive(1, exact(500)), archive(7, exact(500), where="::7")
    if sure:
        here, there = with_certificate(here, "ab"), with_certificate(there, "ab")
    other = archive(3, exact(90_000), name="OTHER_1", uid="1.2.3")
    round_of(engine, 0, [here, other, archive(4, exact(9))])
    gone = {("127.0.0.1", 11112): "ETIMEDOUT", ("127.0.0.4", 11112): "ECONNREFUSED"}
    round_of(engine, 1, [there, other], gone, closed_after=1)


@pytest.mark.parametrize("sure", [True, False])
def test_a_moved_server_is_not_told_as_closed(engine: sa.Engine, sure: bool) -> None:
    relocation(engine, sure=sure)
    uids = [str(about.endpoint_id(address, 11112)) for address in ("127.0.0.1", "::7")]
    told = {one["address"]: one for one in map(json.loads, written(engine, "jsonl", state="all").splitlines())}
    old, new = told["127.0.0.1"], told["::7"]
    assert (old["state"], old["moved_to"], old["moved_to_id"]) == ("moved", "[::7]:11112", new["id"])
    assert old["moved_sure"] is sure and [old["id"], new["id"]] == uids
    assert [(e["kind"], e["moved_from"]) for e in new["events"]] == [("moved", "127.0.0.1:11112")]
    assert told["127.0.0.4"]["state"] == "closed" and told["127.0.0.4"]["moved_to"] is None
    assert (new["state"], new["moved_to"], new["moved_sure"]) == ("open", None, None)

    events = {one["source.ip"]: one for one in map(json.loads, written(engine, "intelmq", state="all").splitlines())}
    for event in events.values():
        IntelMq.check(event)
    assert [events[a]["status"] for a in ("127.0.0.1", "::7", "127.0.0.4")] == ["moved", "open", "closed"]
    assert events["127.0.0.1"]["extra.moved_to"] == "[::7]:11112" and "extra.moved_to" not in events["127.0.0.4"]

    rows = {row["ip"]: row for row in csv.DictReader(io.StringIO(written(engine, "csv", state="all")))}
    assert [rows[a]["status"] for a in ("127.0.0.1", "::7", "127.0.0.4")] == ["moved", "open", "closed"]
    assert (rows["127.0.0.1"]["moved_to"], rows["127.0.0.4"]["moved_to"]) == ("[::7]:11112", "")

    findings = {one["device"]["ip"]: one for one in map(json.loads, written(engine, "ocsf", state="all").splitlines())}
    for one in findings.values():
        ocsf_check(one)
    assert [findings[a]["status_id"] for a in ("127.0.0.1", "::7", "127.0.0.4")] == [99, 1, 4]
    moved = findings["127.0.0.1"]
    assert moved["finding_info"]["related_events"] == [{"uid": uids[1]}] and moved["activity_id"] == 3
    assert "[::7]:11112" in moved["status_detail"] and ("seems" in moved["status_detail"]) is not sure

    objects = bundle(written(engine, "stix", state="all"))
    (link,) = [one for one in objects.values() if getattr(one, "relationship_type", "") == "related-to"]
    assert (link.source_ref, link.target_ref) == tuple(f"infrastructure--{uid}" for uid in uids)
    assert "moved" in objects[link.source_ref].labels and link.labels == ["moved" if sure else "moved-guess"]
    only = bundle(written(engine, "stix", state="closed"))
    assert "::7" in only[f"infrastructure--{uids[0]}"].description
    assert not any(getattr(one, "relationship_type", "") == "related-to" for one in only.values()), "no loose end"


def test_a_server_that_moved_and_came_back_is_open(engine: sa.Engine) -> None:
    relocation(engine)
    round_of(engine, 2, [with_certificate(archive(1, exact(500)), "ab")])
    told = {one["address"]: one for one in map(json.loads, written(engine, "jsonl", state="all").splitlines())}
    assert (told["127.0.0.1"]["state"], told["127.0.0.1"]["moved_to"]) == ("open", None)


# ---- strings of strangers -------------------------------------------------------------------------------------------


@given(st.text(max_size=600))
def test_plain_text_is_one_bounded_printable_line(text: str) -> None:
    cleaned = plain.plain(text, 50)
    assert cleaned is None or (cleaned.isprintable() and 0 < len(cleaned) <= 50 and cleaned == cleaned.strip())


@given(st.text(max_size=300) | st.from_regex(r"[a-z.\-]{1,80}", fullmatch=True))
def test_what_has_a_grammar_follows_it_or_is_left_out(text: str) -> None:
    name = plain.host_name(text)
    assert name is None or IntelMq.fqdn(name)
    box = plain.mailbox(text)
    assert box is None or re.fullmatch(r"[^\s@\"<>,;]+@[^\s@]+\.[^\s@]+", box)
    block = plain.network(text, "192.0.2.77")
    assert block is None or str(ipaddress.ip_network(block)) == block


def test_names_and_mailboxes_that_are_good() -> None:
    assert plain.host_name("PACS-1.Example.ORG.") == "pacs-1.example.org"
    assert plain.host_name("10.0.0.1") is None and plain.host_name("a..b") is None and plain.host_name("-a.b") is None
    assert plain.mailbox("Abuse@Example.org") == "abuse@example.org"
    assert plain.mailbox("a@b.org, c@d.org") is None
    assert plain.network("192.0.2.77/24", "192.0.2.1") == "192.0.2.0/24"


@pytest.mark.parametrize(
    ("first", "last", "address", "block"),
    [
        ("198.51.0.0", "198.51.3.255", "198.51.2.9", "198.51.0.0/22"),
        ("198.51.0.0", "198.51.2.255", "198.51.2.9", "198.51.2.0/24"),  # no single block
        ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::5", "2001:db8::/32"),
    ],
)
def test_the_network_is_read_from_what_a_registry_says(first: str, last: str, address: str, block: str) -> None:
    told = rdap.read(rows.network(first, last, name="EX, A–B"), address, "rdap.example")
    (hint,) = [one.value for one in told if one.kind == "rdap-network"]
    assert plain.network(hint, address) == block
    assert plain.network(hint, "203.0.113.1") is None and plain.network("EX, 1.2.3.4–::5", "1.2.3.4") is None
    assert plain.asn(0) is None and plain.asn(2**32 - 1) is None and plain.asn(3320) == 3320
    assert plain.country("de") is None and plain.country("DE") == "DE"


# ---- IntelMQ --------------------------------------------------------------------------------------------------------


class IntelMq:
    """IntelMQ's harmonisation: intelmq/etc/harmonization.conf and lib/harmonization.py, lib/message.py (3.x)."""

    KEY = re.compile(r"^[a-z_][a-z_0-9]+(\.[a-z_0-9]+)*$")
    IGNORED = ("", "-", "N/A")
    REQUIRED = frozenset(
        {
            *("time.source", "time.observation", "source.ip", "source.port", "feed.name"),
            *("classification.type", "classification.taxonomy", "classification.identifier"),
        }
    )

    @staticmethod
    def string(value: Any) -> bool:
        return isinstance(value, str) and bool(value) and value == value.strip()

    @classmethod
    def lower(cls, value: Any) -> bool:
        return cls.string(value) and value == value.lower()

    @staticmethod
    def integer(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool)

    @staticmethod
    def time(value: Any) -> bool:
        return re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00", value) is not None

    @staticmethod
    def ip(value: Any) -> bool:
        return "%" not in value and str(ipaddress.ip_address(value)) not in ("0.0.0.0", "")

    @classmethod
    def fqdn(cls, value: Any) -> bool:
        if not cls.lower(value) or value.strip(".") != value or set(value) & set(":/?#@"):
            return False
        try:
            ipaddress.ip_address(value)
        except ValueError:
            return str(value).encode("idna").decode() == value
        return False

    @classmethod
    def rules(cls) -> dict[str, Any]:
        return {
            "time.source": cls.time,
            "time.observation": cls.time,
            "feed.name": cls.string,
            "feed.provider": cls.string,
            "classification.taxonomy": lambda v: v == "vulnerable",
            "classification.type": lambda v: v == "vulnerable-system",
            "classification.identifier": lambda v: v == "open-dicom",
            "source.ip": cls.ip,
            "source.port": lambda v: cls.integer(v) and len(str(v)) <= 5,
            "source.reverse_dns": cls.fqdn,
            "source.network": lambda v: str(ipaddress.ip_network(v)) == v,
            "source.asn": lambda v: cls.integer(v) and 0 < v <= 4294967295,
            "source.as_name": cls.string,
            "source.geolocation.cc": lambda v: re.fullmatch(r"[A-Z0-9]{2}", v),
            "source.abuse_contact": cls.lower,
            "protocol.transport": lambda v: v in ("tcp", "udp"),
            "protocol.application": lambda v: cls.lower(v) and re.fullmatch(r"[ -~]+", v) and len(v) <= 100,
            "product.full_name": cls.string,
            "product.name": cls.lower,
            "product.version": cls.lower,
            "status": cls.string,
            "tlp": lambda v: v in ("WHITE", "GREEN", "AMBER", "RED"),
        }

    @classmethod
    def check(cls, event: dict[str, Any]) -> None:
        assert set(event) >= cls.REQUIRED
        rules = cls.rules()
        for key, value in event.items():
            assert cls.KEY.match(key), key
            assert value is not None and value not in cls.IGNORED, key
            assert key.startswith("extra.") or rules[key](value), (key, value)
        assert "raw" not in event


def test_intelmq_events_follow_its_harmonisation(engine: sa.Engine) -> None:
    ids = street(engine)
    events = [json.loads(line) for line in written(engine, "intelmq", state="all").splitlines()]
    assert len(events) == len(ids)
    for event in events:
        IntelMq.check(event)
    first, closed, second, linked, bare = events[:5]
    assert first["source.reverse_dns"] == "pacs.example.org" and first["source.abuse_contact"] == "abuse@example.org"
    assert first["source.network"] == "198.51.0.0/16" and first["extra.studies"] == 1500 and first["tlp"] == "AMBER"
    assert first["time.observation"] == "2026-11-22T06:00:00+00:00"
    assert closed["status"] == "closed" and closed["extra.closed_at"] == "2026-09-20T10:00:00Z"
    assert second["extra.tls"] and second["extra.second_door"] and second["source.ip"] == "2001:db8::5"
    assert linked["source.ip"] == "fe80::1" and "extra.studies" not in linked
    assert not {"source.asn", "source.as_name", "product.name", "extra.findings"} & set(bare)


@pytest.mark.parametrize(
    ("key", "value"),
    [("source.ip", "0.0.0.0"), ("source.asn", 0), ("time.source", "2026-11-22"), ("product.name", "Orthanc")],
)
def test_what_the_harmonisation_refuses_is_noticed(engine: sa.Engine, key: str, value: Any) -> None:
    Planting(engine).put()  # the checker above is ours, so it is held to noticing
    (event,) = map(json.loads, written(engine, "intelmq").splitlines())
    with pytest.raises(AssertionError):
        IntelMq.check({**event, key: value})


# ---- CSV ------------------------------------------------------------------------------------------------------------


def test_csv_is_quoted_and_runs_nothing(engine: sa.Engine) -> None:
    ids = street(engine)
    text = written(engine, "csv", state="all")
    header, *rows = csv.reader(io.StringIO(text))
    assert tuple(header) == csv_feed.COLUMNS and len(rows) == len(ids)
    # The head of Shadowserver's "Accessible ICS" report and its like.
    assert header[:9] == ["timestamp", "severity", "ip", "protocol", "port", "hostname", "tag", "asn", "geo"]
    for line in text.splitlines():
        assert line.startswith('"') and line.endswith('"')
    for row in rows:
        for cell in row:
            assert not cell.startswith(("=", "+", "-", "@", "\t", "＝")), cell
    first = dict(zip(header, rows[0], strict=True))
    assert first["timestamp"] == "2026-09-01 10:00:00" and first["port"] == "104" and first["studies"] == "1500"
    assert first["hostname"] == "pacs.example.org" and first["hostname_source"] == "ptr" and first["tag"] == "dicom"


@given(st.text(alphabet=st.characters(), max_size=20) | st.sampled_from(HOSTILE))
def test_no_cell_begins_like_a_formula(text: str) -> None:
    assert not csv_feed.cell(text).lstrip(" \u00a0\u3000").startswith(tuple("=+-@\t\r\n＝＋－＠"))
    assert csv_feed.cell(text).removeprefix("'").endswith(text.removeprefix("'"))


# ---- STIX -----------------------------------------------------------------------------------------------------------

# STIX 2.1, tables of relationships in §4.8 (infrastructure), and the fixed identifiers of TLP in §7.2.1.4.
RELATIONS = {
    ("infrastructure", "consists-of", "ipv4-addr"),
    ("infrastructure", "consists-of", "ipv6-addr"),
    ("infrastructure", "consists-of", "network-traffic"),
    ("infrastructure", "consists-of", "software"),
    ("infrastructure", "located-at", "location"),
    ("infrastructure", "has", "vulnerability"),
    ("infrastructure", "related-to", "infrastructure"),  # §4.7: any object to any
}
MARKINGS = {
    "clear": "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9",
    "green": "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da",
    "amber": "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82",
    "red": "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed",
}


def bundle(text: str) -> dict[str, Any]:
    """The objects by their identifiers, read by the library's own parser, nothing custom; each stands there once."""
    objects = stix2.parse(text, allow_custom=False).objects
    found = {one.id: one for one in objects}
    assert len(found) == len(objects)
    return found


def references(value: Any) -> Iterator[str]:
    for key in value:
        if key.endswith("_ref"):
            yield value[key]
        elif key.endswith("_refs"):
            yield from value[key]


def test_stix_is_what_the_specification_says(engine: sa.Engine) -> None:
    ids = street(engine)
    objects = bundle(written(engine, "stix", state="all"))
    kinds = [one.type for one in objects.values()]
    assert kinds.count("infrastructure") == len(ids) == kinds.count("observed-data")
    seen: set[str] = set()
    for one in objects.values():
        assert set(references(one)) <= seen, "what is referred to stands before"
        seen.add(one.id)
        assert uuid.UUID(one.id.partition("--")[2]).version == (4 if one.type == "marking-definition" else 5)
        if one.type == "relationship":
            ends = (objects[one.source_ref].type, one.relationship_type, objects[one.target_ref].type)
            assert ends in RELATIONS
        if one.type != "marking-definition":
            assert one.object_marking_refs == [MARKINGS["amber"]]


def test_stix_tells_the_end_of_a_weakness(engine: sa.Engine) -> None:
    street(engine)
    objects = bundle(written(engine, "stix", state="closed"))
    spans = [one for one in objects.values() if one.type == "relationship" and one.relationship_type == "has"]
    assert len(spans) == len(FINDINGS)
    for one in spans:
        assert one.stop_time.isoformat() == "2026-09-20T10:00:00+00:00" and not one.revoked


def test_stix_objects_are_those_that_the_library_would_make(engine: sa.Engine) -> None:
    """Identifiers of observables too, which the specification wants made from their properties."""
    street(engine)
    kinds = {"ipv4-addr": stix2.IPv4Address, "ipv6-addr": stix2.IPv6Address, "software": stix2.Software}
    kinds |= {"network-traffic": stix2.NetworkTraffic}
    counted = 0
    for text in written(engine, "stix", state="all").splitlines()[1:-1]:
        one = json.loads(text.rstrip(","))
        assert json.loads(stix2.parse(text.rstrip(","), allow_custom=False).serialize()) == one
        if one["type"] in kinds:
            given_ = {key: value for key, value in one.items() if key not in ("type", "id", "spec_version")}
            assert kinds[one["type"]](**given_).id == one["id"]
            counted += 1
    assert counted > 20


@pytest.mark.parametrize("tlp", MARKINGS)
def test_stix_markings(engine: sa.Engine, tlp: Any) -> None:
    Planting(engine).put()
    said = About(sender="CERT Example", made_at=ABOUT.made_at, tlp=tlp)
    assert MARKINGS[tlp] in bundle(written(engine, "stix", said))
    plainly = bundle(written(engine, "stix", About(sender="CERT Example", made_at=ABOUT.made_at)))
    assert not any(one.type == "marking-definition" or "object_marking_refs" in one for one in plainly.values())


def test_a_later_bundle_is_newer_and_names_the_same(engine: sa.Engine) -> None:
    planting = Planting(engine)
    number = planting.put()
    before = bundle(written(engine, "stix"))
    with engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE exposures SET last_answer = '2026-10-09T00:00:00Z' WHERE id = {number}"))
    after = bundle(written(engine, "stix"))
    assert set(before) == set(after)
    changed = {key for key, one in after.items() if one.get("modified", 0) != before[key].get("modified", 0)}
    assert {key.partition("--")[0] for key in changed} == {"infrastructure", "observed-data", "relationship", "note"}


# ---- OCSF -----------------------------------------------------------------------------------------------------------

# ocsf-schema 1.8.0: what is required of class 2002 and of the objects in it, and the attributes they have.
OCSF_REQUIRED = {
    "": {
        *("activity_id", "category_uid", "class_uid", "type_uid", "severity_id", "time"),
        *("metadata", "finding_info", "vulnerabilities"),
    },
    "metadata": {"product", "version"},
    "finding_info": {"uid"},
    "device": {"type_id", "ip"},
    "vulnerabilities": {"cwe"},
    "cwe": {"uid"},
    "remediation": {"desc"},
    "observables": {"type_id"},
}
OCSF_KNOWN = {
    "": {
        *("activity_id", "activity_name", "category_name", "category_uid", "class_name", "class_uid", "device"),
        *("finding_info", "message", "metadata", "observables", "resources", "severity", "severity_id", "status"),
        *("status_detail", "status_id", "time", "type_name", "type_uid", "unmapped", "vulnerabilities"),
    },
    "metadata": {"version", "uid", "product", "log_provider", "logged_time", "original_time", "labels"},
    "finding_info": {
        *("uid", "title", "types", "data_sources", "created_time", "modified_time", "first_seen_time"),
        *("last_seen_time", "related_events"),
    },
    "related_events": {"uid"},
    "device": {
        *("type_id", "type", "uid", "ip", "hostname", "subnet", "location", "first_seen_time", "last_seen_time"),
    },
    "resources": {"uid", "name", "type", "ip", "hostname", "version"},
    "vulnerabilities": {
        *("title", "desc", "severity", "cwe", "references", "remediation", "first_seen_time", "last_seen_time"),
    },
    "cwe": {"uid", "caption", "src_url"},
    "remediation": {"desc"},
    "observables": {"name", "type_id", "type", "value"},
    "location": {"country"},
    "product": {"name", "vendor_name", "version"},
}


def ocsf_check(value: dict[str, Any], where: str = "") -> None:
    assert OCSF_REQUIRED.get(where, set()) <= set(value), where
    if where == "unmapped":
        return
    assert set(value) <= OCSF_KNOWN[where], where
    for key, inner in value.items():
        assert inner is not None, key
        if key.endswith("_time") and key != "original_time":
            assert isinstance(inner, int) and 1_600_000_000_000 < inner < 2_000_000_000_000, key
        for one in inner if isinstance(inner, list) else [inner]:
            if isinstance(one, dict):
                ocsf_check(one, key)


def test_ocsf_findings_follow_its_schema(engine: sa.Engine) -> None:
    ids = street(engine)
    findings = [json.loads(line) for line in written(engine, "ocsf", state="all").splitlines()]
    assert len(findings) == len(ids) == len({one["finding_info"]["uid"] for one in findings})
    for one in findings:
        ocsf_check(one)
        assert (one["class_uid"], one["category_uid"]) == (2002, 2)
        assert one["type_uid"] == 2002 * 100 + one["activity_id"]
        assert one["metadata"]["version"] == "1.8.0" and one["vulnerabilities"]
    first, closed, _, unknown, *_ = findings
    assert (first["activity_id"], first["severity_id"], first["status_id"]) == (1, 5, 1)
    assert (closed["activity_id"], closed["status"]) == (3, "Resolved")
    assert closed["time"] == 1789898400000, "when it was closed"
    assert unknown["severity_id"] == 0


def test_a_schema_broken_is_noticed(engine: sa.Engine) -> None:
    Planting(engine).put()
    (good,) = map(json.loads, written(engine, "ocsf").splitlines())
    for change in ({"own": 1}, {"finding_info": {}}, {"device": {"ip": "192.0.2.1"}}, {"message": None}):
        with pytest.raises(AssertionError):
            ocsf_check({**good, **change})


def test_every_finding_of_an_open_server_has_a_name_elsewhere() -> None:
    assert set(known_findings()) - set(CWES) == {"behaves-like-a-decoy"}, "no weakness, and never an exposure"
    assert set(CWES) <= set(known_findings())
    ((ref, weakness),) = weaknesses((), None)
    assert ref.id == weakness.id == "echo-without-credentials"
