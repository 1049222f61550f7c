"""Rounds of asking, against servers on loopback: what is found, kept, not asked again, and named as missing."""

from __future__ import annotations

import asyncio
import ssl
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
import trustme

from leadapron.kernel.errors import UsageError
from leadapron.watch.track.owner import bootstrap
from leadapron.watch.track.owner.gather import gather
from leadapron.watch.track.owner.hints import Hints
from leadapron.watch.track.owner.model import Gathered
from leadapron.watch.track.owner.suggestion import suggestion
from leadapron.watch.track.tables import hints, lookups
from owners import rows, web
from owners.names import name_server

ADDRESS = "5.145.140.7"  # nobody is ever connected there: it is only asked about, of servers on loopback
POINTER = ("7.140.145.5.in-addr.arpa", "PTR")


class Clock:
    def __init__(self) -> None:
        self.at = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return 0.0


def said(gathered: Gathered, exposure_id: int) -> set[tuple[str, str]]:
    return {(one.kind, one.value) for one in gathered.hints if one.exposure_id == exposure_id}


async def test_everything_that_is_known_of_a_server(engine: sa.Engine, tmp_path: Path) -> None:
    key = rows.add(engine, ADDRESS, shown=rows.certificate("pacs.klinik.example.de", self_signed=False))
    file = rows.mmdb(
        tmp_path / "both.mmdb",
        {
            "5.145.0.0/16": {
                "country": {"iso_code": "DE"},
                "autonomous_system_number": 64500,
                "autonomous_system_organization": "Example Telecom",
            }
        },
    )
    zone = {POINTER: ["mail.praxis-muster.de."], ("mail.praxis-muster.de", "A"): [ADDRESS]}
    zone["pacs.klinik.example.de", "A"] = ["5.145.140.6", ADDRESS]
    with name_server(zone) as dns, web.web_server() as rdap:
        rdap.pages[f"/ip/{ADDRESS}"] = web.json(rows.network("5.145.140.0", "5.145.140.255"))
        settings = rows.quick(
            dns=True, resolver=dns.address, rdap=True, rdap_base=rdap.base, countries=file, networks=file
        )
        gathered = await gather(engine, [key], settings)
    assert said(gathered, key) == {
        ("certificate-name", "pacs.klinik.example.de"),
        ("reverse-dns", "mail.praxis-muster.de"),
        ("country", "DE"),
        ("asn", "AS64500"),
        ("operator", "Example Telecom"),
        ("rdap-organisation", "Example Telecom AG"),
        ("rdap-network", "EXAMPLE-NET (NET-1), 5.145.140.0–5.145.140.255"),
        ("abuse-mailbox", "abuse@telecom.example.com"),
        ("cert", "CERT-Bund, certbund@bsi.bund.de"),
        ("regulator", "Datenschutzaufsicht des Landes (Anschriften beim BfDI), https://www.bfdi.bund.de"),
    }
    assert gathered.missing == ("security.txt: switched off: [lookups] security_txt",)
    assert rows.place(engine, key) == ("DE", 64500, "Example Telecom")
    assert all(agent.startswith("leadapron/") for agent in rdap.agents)
    advice = suggestion(gathered.hints)
    assert (advice.domain, advice.mailbox, advice.guess) == ("example.de", None, "security@example.de")
    assert (advice.operator_mailbox, advice.country, advice.language) == ("abuse@telecom.example.com", "DE", "de")
    assert advice.organisation is None


async def test_a_second_round_asks_nobody_and_changes_nothing(engine: sa.Engine) -> None:
    keys, clock = [rows.add(engine, ADDRESS), rows.add(engine, ADDRESS, port=11112)], Clock()
    with name_server({POINTER: ["pacs.example.de."]}) as dns, web.web_server() as rdap:
        rdap.pages[f"/ip/{ADDRESS}"] = web.json(rows.network("5.145.140.0", "5.145.140.255"))
        settings = rows.quick(dns=True, resolver=dns.address, rdap=True, rdap_base=rdap.base)
        first = await gather(engine, keys, settings, clock=clock)
        assert len(rdap.asked) == 1, "both exposures have one address"
        questions = len(dns.asked)
        second = await gather(engine, keys, settings, clock=clock)
        assert (len(rdap.asked), len(dns.asked)) == (1, questions)
    assert second == first
    assert said(first, keys[0]) == said(first, keys[1]) != set()


async def test_what_is_too_old_is_asked_again_and_serves_while_nobody_answers(engine: sa.Engine) -> None:
    key, clock = rows.add(engine, ADDRESS), Clock()
    with web.web_server() as rdap:
        rdap.pages[f"/ip/{ADDRESS}"] = web.json(rows.network("5.145.140.0", "5.145.140.255"))
        settings = rows.quick(rdap=True, rdap_base=rdap.base, cache_days=7)
        await gather(engine, [key], settings, clock=clock)
        clock.at += timedelta(days=8)
        rdap.pages[f"/ip/{ADDRESS}"] = web.hang_up
        late = await gather(engine, [key], settings, clock=clock)
        assert ("country", "DE") in said(late, key)
        assert {one.at for one in late.hints if one.kind == "country"} == {"2026-11-22T08:00:00Z"}
        assert any(line.startswith("RDAP: 127.0.0.1 cannot be reached") for line in late.missing)
        rdap.pages[f"/ip/{ADDRESS}"] = web.json(rows.network("5.145.140.0", "5.145.140.255", country="AT"))
        again = await gather(engine, [key], settings, clock=clock)
    countries = {one.value: one.at for one in again.hints if one.kind == "country"}
    assert countries == {"AT": "2026-11-30T08:00:00Z"}
    assert ("cert", "CERT.at, reports@cert.at") in said(again, key)
    assert not any("CERT-Bund" in value for _, value in said(again, key))


async def test_the_list_of_registries_is_kept_and_renewed(
    engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, context, clock = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), Clock()
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    settings = rows.quick(rdap=True, ca=str(tmp_path / "ca.pem"), bootstrap_days=30, cache_days=0)
    with web.web_server(context) as server:
        monkeypatch.setitem(bootstrap.URLS, 4, f"{server.base}ipv4.json")
        server.pages["/ipv4.json"] = web.json({"services": [[["5.0.0.0/8"], [f"{server.base}rdap/"]]]})
        server.pages[f"/rdap/ip/{ADDRESS}"] = web.redirect("/elsewhere")
        server.pages["/elsewhere"] = web.json(rows.network("5.145.140.0", "5.145.140.255"))
        key = rows.add(engine, ADDRESS)

        async def fetched() -> int:
            server.asked.clear()
            gathered = await gather(engine, [key], settings, clock=clock)
            assert ("country", "DE") in said(gathered, key)
            assert not any("RDAP" in line for line in gathered.missing)
            return [path for _, path in server.asked].count("/ipv4.json")

        assert [await fetched(), await fetched()] == [1, 0]
        clock.at += timedelta(days=31)
        assert [await fetched(), await fetched()] == [1, 0]
        clock.at += timedelta(days=31)
        for page in (web.hang_up, web.json({"services": []}), web.send(503, b"", "text/plain")):
            server.pages["/ipv4.json"] = page
            late = await gather(engine, [key], settings, clock=clock)
            assert ("abuse-mailbox", "abuse@telecom.example.com") in said(late, key)


async def test_what_a_person_decided_stays(engine: sa.Engine) -> None:
    key, store = rows.add(engine, ADDRESS), Hints(engine)
    with web.web_server() as rdap:
        rdap.pages[f"/ip/{ADDRESS}"] = web.json(rows.network("5.145.140.0", "5.145.140.255"))
        settings = rows.quick(rdap=True, rdap_base=rdap.base, cache_days=0)
        first = await gather(engine, [key], settings)
        by_kind = {one.kind: one for one in first.hints}
        store.decide(by_kind["rdap-organisation"].id, "confirmed", "A. Person")
        store.decide(by_kind["country"].id, "rejected", "A. Person")
        store.add(key, "organisation", "Praxis Dr. Beispiel", "telephone", "A. Person")
        rdap.pages[f"/ip/{ADDRESS}"] = web.json(rows.network("5.145.140.0", "5.145.140.255", entities=[]))
        second = {one.kind: one for one in (await gather(engine, [key], settings)).hints}
    assert second["rdap-organisation"].state == "confirmed"
    assert second["country"].state == "rejected"
    assert second["organisation"].decided_by == "A. Person"
    assert "abuse-mailbox" not in second, "the registry no longer names it"
    assert suggestion(tuple(second.values())).country is None
    assert suggestion(tuple(second.values())).organisation == "Praxis Dr. Beispiel"


async def test_private_addresses_are_asked_about_nowhere(engine: sa.Engine) -> None:
    keys = [rows.add(engine, address) for address in ("127.0.0.9", "10.1.2.3", "192.168.0.4", "fe80::1", "::1")]
    with name_server({}) as dns, web.web_server() as rdap:
        settings = rows.quick(dns=True, resolver=dns.address, rdap=True, rdap_base=rdap.base, security_txt=True)
        gathered = await gather(engine, keys, settings)
        assert dns.asked == [] and rdap.asked == []
    assert gathered.hints == ()
    for means in ("reverse DNS", "RDAP", "security.txt"):
        assert f"{means}: nobody outside is asked about a private address (private use) (2 times)" in gathered.missing
        assert any(line.startswith(means) and "loopback" in line for line in gathered.missing)


async def test_private_addresses_are_asked_about_where_the_servers_are_inside(engine: sa.Engine) -> None:
    key = rows.add(engine, "127.0.0.9")
    zone = {("9.0.0.127.in-addr.arpa", "PTR"): ["pacs.hospital.example.com."]}
    with name_server(zone) as dns, web.web_server() as rdap:
        rdap.pages["/ip/127.0.0.9"] = web.json(rows.network("127.0.0.0", "127.0.0.255"))
        settings = rows.quick(dns=True, resolver=dns.address, rdap=True, rdap_base=rdap.base, inside=True)
        gathered = await gather(engine, [key], settings)
    assert ("reverse-dns", "pacs.hospital.example.com") in said(gathered, key)
    assert ("abuse-mailbox", "abuse@telecom.example.com") in said(gathered, key)


async def test_without_a_network_the_files_still_serve(engine: sa.Engine, tmp_path: Path) -> None:
    keys = [rows.add(engine, f"5.145.140.{last}") for last in range(1, 41)]
    file = rows.mmdb(tmp_path / "c.mmdb", {"5.145.0.0/16": {"country": {"iso_code": "TR"}}})
    with name_server({}, spoil=lambda _: None) as dns, web.web_server() as rdap:
        closed = rdap.base
        rdap.stop()
        settings = rows.quick(
            dns=True, resolver=dns.address, dns_timeout_s=0.5, rdap=True, rdap_base=closed, countries=file
        )
        began = time.monotonic()
        gathered = await gather(engine, keys, settings)
        assert time.monotonic() - began < 20
    assert all(("country", "TR") in said(gathered, key) for key in keys)
    assert "reverse DNS: the resolver does not answer within 0.5 s (40 times)" in gathered.missing
    assert any(
        line.startswith("RDAP: 127.0.0.1 cannot be reached") and "(40 times)" in line for line in gathered.missing
    )


async def test_a_round_that_is_stopped_has_kept_its_work(engine: sa.Engine) -> None:
    keys = [rows.add(engine, ADDRESS, port=number) for number in range(1, 130)] + [rows.add(engine, "5.145.141.9")]
    with web.web_server() as rdap:
        rdap.pages[f"/ip/{ADDRESS}"] = web.json(rows.network("5.145.140.0", "5.145.140.255"))
        rdap.pages["/ip/5.145.141.9"] = web.mute
        done: list[int] = []
        settings = rows.quick(rdap=True, rdap_base=rdap.base, http_timeout_s=60.0)
        task = asyncio.ensure_future(gather(engine, keys, settings, progress=lambda some, _: done.append(some)))
        async with asyncio.timeout(30):
            while ("127.0.0.1", "/ip/5.145.141.9") not in {(host.partition(":")[0], path) for host, path in rdap.asked}:
                await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert done == [128]
    with engine.connect() as connection:
        held = connection.execute(sa.select(sa.func.count(sa.distinct(hints.c.exposure_id)))).scalar()
    assert held == 128


async def test_nothing_of_a_person_is_kept(engine: sa.Engine) -> None:
    key = rows.add(engine, ADDRESS, shown=rows.certificate("localhost", subject="CN=Erika Mustermann,O=Praxis"))
    with web.web_server() as rdap:
        rdap.pages[f"/ip/{ADDRESS}"] = web.json(rows.network("5.145.140.0", "5.145.140.255"))
        await gather(engine, [key], rows.quick(rdap=True, rdap_base=rdap.base))
    with engine.connect() as connection:
        everything = str(connection.execute(sa.select(hints)).all()) + str(connection.execute(sa.select(lookups)).all())
    assert "telecom.example.com" in everything
    for private in ("Erika", "Mustermann", "erika", "5550199", "Privatweg"):
        assert private not in everything


async def test_a_missing_or_broken_file_is_named(engine: sa.Engine, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mmdb"
    broken.write_bytes(b"no such format" * 100)
    for path, message in ((broken, "not a file in MaxMind's format"), (tmp_path / "no.mmdb", "No such file")):
        with pytest.raises(UsageError, match=message):
            await gather(engine, [], rows.quick(countries=str(path)))
        with pytest.raises(UsageError, match="networks"):
            await gather(engine, [], rows.quick(networks=str(path)))
