"""Strangers on the web side: whatever they show, nothing gets inside, and each attempt leaves one message."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from guard.web.serving import ALL_WEB, Asked, Recorder, Served, bearer, cookie, guarding
from leadapron.guard.audit.events import SecurityAlert, UserAuthentication
from leadapron.guard.gateway.web.route import ROUTES, Kind
from peers.certificates import Certificates

UID = "1.2.840.113619.2.55"
FILLED = {
    "{study}": UID,
    "{series}": UID + ".1",
    "{instance}": UID + ".2",
    "{frames}": "1,2",
    "{number}": "0",
    "{id}": "0123abcd-0123abcd-0123abcd-0123abcd-0123abcd",
    "{bulk*}": "7fe00010",
    "{file*}": "explorer.html",
}
MOUNTS = {Kind.DICOMWEB: "/dicom-web/", Kind.WADO: "/", Kind.ORTHANC: "/orthanc/"}


def places() -> list[tuple[str, str, str]]:
    """Method, path and permission of every row of the table."""
    return [
        (
            route.method,
            MOUNTS[route.kind] + "/".join(FILLED.get(part, part) for part in route.path),
            str(route.permission),
        )
        for route in ROUTES
    ]


async def proofs(served: Served) -> dict[str, dict[str, str]]:
    """What strangers show."""
    served.person("reader")
    served.person("gone")
    served.person("none", may=())
    ended = await served.session("reader")
    out = await served.session("reader")
    await served.people.logout(out)
    disabled = await served.session("gone")
    lost = served.token("gone", ("web:query",))
    served.people.manage.set_disabled("gone", True, "test")
    revoked = served.token("reader", ALL_WEB)
    served.people.manage.revoke_token(served.people.manage.tokens()[-1].id, "test")
    old = served.token("reader", ALL_WEB)
    good = served.token("reader", ("web:query",))
    served.clock.forward(3 * 86_400)  # idle and absolute time-out; the token of one day
    return {
        "nothing": {},
        "an empty cookie": cookie(""),
        "a forged session": cookie("A" * 43),
        "an ended session": cookie(ended),
        "a session logged out": cookie(out),
        "a disabled person's session": cookie(disabled),
        "another cookie": {"Cookie": f"session={ended}"},
        "the cookie twice": {"Cookie": f"{next(iter(cookie(ended).values()))}; {next(iter(cookie(ended).values()))}"},
        "a forged token": bearer("lat_" + "a" * 43),
        "a revoked token": bearer(revoked),
        "an expired token": bearer(old),
        "a disabled owner's token": bearer(lost),
        "half a token": bearer(good[:-3]),
        "a token as basic": {"Authorization": "Basic YWRtaW46YWRtaW4="},
        "a session as token": bearer(ended),
        "a token as session": cookie(good),
        "control characters": {"Authorization": "Bearer a\tb"},
        "a very long token": bearer("a" * 4000),
        "forwarded as someone": {"X-Forwarded-User": "reader", "X-Forwarded-For": "127.0.0.1", "Remote-User": "reader"},
    }


async def test_no_stranger_gets_anything_and_each_attempt_is_told_once(
    tmp_path: Path, certificates: Certificates
) -> None:
    async with Recorder() as inner, guarding(tmp_path, certificates, inner.url, "orthanc") as served:
        shown = await proofs(served)
        rows = places()
        chance = random.Random(7)
        async with served.client() as client:
            for name, headers in shown.items():
                for method, path, _ in [*chance.sample(rows, 12), ("GET", "/dicom-web/nowhere", ""), ("PUT", "/x", "")]:
                    served.forget()
                    answer = await client.request(
                        method, path, headers=headers, content=b"x" if method == "POST" else None
                    )
                    assert answer.status_code in (400, 401), (name, method, path)
                    assert answer.text in ("Authentication required", "Bad request"), name
                    assert len(served.events) + len(served.told) == 1, (name, served.events, served.told)
                    assert "set-cookie" not in answer.headers
        assert inner.asked == [] and inner.connections == 0


async def test_a_proof_of_another_scope_opens_only_its_own(tmp_path: Path, certificates: Certificates) -> None:
    """A token for each single permission, and a session of somebody with none: every other row is closed."""
    async with Recorder() as inner, guarding(tmp_path, certificates, inner.url, "orthanc") as served:
        served.person("reader", may=(*ALL_WEB, "dicom:store", "admin:users"))
        served.person("none", may=())
        tokens = {may: served.token("reader", (may,)) for may in (*ALL_WEB, "dicom:store", "admin:users")}
        shown = {may: bearer(token) for may, token in tokens.items()}
        shown["nothing"] = cookie(await served.session("none"))
        async with served.client() as client:
            for may, headers in shown.items():
                for method, path, permission in places():
                    if permission == may:
                        continue
                    served.forget()
                    answer = await client.request(method, path, headers=headers)
                    assert (answer.status_code, answer.text) == (403, "Forbidden"), (may, method, path)
                    assert len(served.events) == 1 and isinstance(served.events[0], SecurityAlert)
                    assert served.told == []
        assert inner.asked == []


async def test_wrong_methods_and_unknown_paths_do_not_exist(tmp_path: Path, certificates: Certificates) -> None:
    paths = [
        "tools/execute-script",
        "tools/reset",
        "tools/shutdown",
        "tools/create-dicom",
        "tools/metrics",
        "modalities",
        "modalities/x/store",
        "peers",
        "plugins",
        "plugins/explorer.js",
        "jobs",
        "exports",
        "changes",
        "queries",
        "storage-commitment",
        "instances/" + FILLED["{id}"] + "/metadata/RemoteAET",
        "instances/" + FILLED["{id}"] + "/modify",
        "instances/" + FILLED["{id}"] + "/attachments",
        "studies/" + FILLED["{id}"] + "/anonymize",
        "dicom-web/servers",
        "app",
        "app/",
        "app/../tools/reset",
        "instances-extended",
        "tools/dicom-conformance",
        "tools/log-level",
        "bulk-delete",
    ]
    async with Recorder() as inner, guarding(tmp_path, certificates, inner.url, "orthanc") as served:
        served.person("reader")
        headers = bearer(served.token("reader", ALL_WEB))
        known = {(method, path) for method, path, _ in places()}
        async with served.client() as client:
            for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "PROPFIND"):
                for path in [f"/orthanc/{path}" for path in paths] + sorted({path for _, path in known}):
                    if (method, path) in known:
                        continue
                    served.forget()
                    answer = await client.request(method, path, headers=headers)
                    assert answer.status_code in (400, 404, 405), (method, path, answer.status_code)
                    assert len(served.events) == 1, (method, path)
        assert inner.asked == []


@pytest.mark.parametrize(
    "target",
    [
        "/dicom-web/../orthanc/tools/reset",
        "/dicom-web/%2e%2e/studies",
        "/dicom-web/.%2E/studies",
        "/dicom-web//studies",
        "//dicom-web/studies",
        "/dicom-web/studies%2f1.2.3",
        "/dicom-web/studies%5c1.2",
        "/dicom-web/studies;x=1",
        "/dicom-web/studies%3bx",
        "/dicom-web/studies/%00",
        "/dicom-web/studies/1.2.3%00.json",
        "/dicom-web/%c0%ae%c0%ae/x",
        "/dicom-web/studies/%e0%80%af",
        "/dicom-web/studies/%252e%252e",
        "/dicom-web/studies/1%",
        "/dicom-web/studies/%zz",
        "/dicom-web/./studies",
        "/dicom-web/studies/...",
        "/dicom-web/studies\\..\\x",
        "/dicom-web/stud\u0131es",
        "/dicom-web/studies?a=%00",
        "/dicom-web/studies?a=%ff",
        "/dicom-web/studies?a=%c0%af",
        "/dicom-web/studies?a%0d%0a=b",
        "/dicom-web/studies?limit=1&limit=2",
        "/dicom-web/studies?limit=-1",
        "/dicom-web/studies?" + "a=1&" * 200,
        "/dicom-web/studies/" + "1" * 3000,
        "/dicom-web/studies?" + "a=" + "1" * 9000,
        "/dicom-web" + "/a" * 40,
        "http://127.0.0.1/dicom-web/studies",
        "*",
        "dicom-web/studies",
    ],
)
async def test_a_target_that_can_be_read_in_two_ways_is_refused(
    tmp_path: Path, certificates: Certificates, target: str
) -> None:
    import asyncio

    async with Recorder() as inner, guarding(tmp_path, certificates, inner.url, "orthanc") as served:
        served.person("reader")
        token = served.token("reader", ALL_WEB)
        served.forget()
        context = certificates.plain_client_context(with_certificate=False)
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", served.server.port, ssl=context, server_hostname="localhost"
        )
        head = f"GET {target} HTTP/1.1\r\nHost: localhost:{served.server.port}\r\nAuthorization: Bearer {token}\r\n\r\n"
        writer.write(head.encode())
        line = await asyncio.wait_for(reader.readline(), 20)
        assert line.startswith(b"HTTP/1.1 400"), line
        writer.close()
        assert inner.asked == [] and len(served.events) <= 1


async def test_a_person_with_a_session_reads_and_another_site_does_not(
    tmp_path: Path, certificates: Certificates
) -> None:
    async with Recorder() as inner, guarding(tmp_path, certificates, inner.url) as served:
        served.person("reader")
        session = await served.session("reader")
        base = served.base
        ours = [
            ("GET", cookie(session)),
            ("GET", cookie(session) | {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}),
            ("GET", {"Cookie": cookie(session)["Cookie"]}),
            (
                "GET",
                cookie(session)
                | {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
            ),
            ("DELETE", cookie(session)),
            ("DELETE", {"Cookie": cookie(session)["Cookie"], "Origin": base}),
        ]
        theirs = [
            ("GET", cookie(session) | {"Sec-Fetch-Site": "cross-site"}),
            ("GET", cookie(session) | {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}),
            (
                "GET",
                cookie(session)
                | {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
            ),
            ("DELETE", cookie(session) | {"Sec-Fetch-Site": "cross-site"}),
            ("DELETE", cookie(session) | {"Sec-Fetch-Site": "none"}),
            ("DELETE", {"Cookie": cookie(session)["Cookie"]}),
            ("DELETE", {"Cookie": cookie(session)["Cookie"], "Origin": "https://evil.example"}),
            ("DELETE", {"Cookie": cookie(session)["Cookie"], "Origin": "null"}),
        ]
        async with served.client() as client:
            for method, headers in ours:
                path = "/dicom-web/studies" if method == "GET" else f"/dicom-web/studies/{UID}"
                assert (await client.request(method, path, headers=headers)).status_code == 200, headers
            arrived = len(inner.asked)
            assert arrived == len(ours)
            for method, headers in theirs:
                served.forget()
                path = "/dicom-web/studies" if method == "GET" else f"/dicom-web/studies/{UID}"
                assert (await client.request(method, path, headers=headers)).status_code == 403, headers
                assert len(served.events) == 1
        assert len(inner.asked) == arrived


async def test_a_browser_without_session_is_led_to_the_log_in(tmp_path: Path, certificates: Certificates) -> None:
    async with Recorder() as inner, guarding(tmp_path, certificates, inner.url, "orthanc") as served:
        async with served.client() as client:
            answer = await client.get(
                "/orthanc/app/explorer.html?v=1", headers={"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}
            )
            assert answer.status_code == 303
            assert answer.headers["location"] == "/guard/login?next=%2Forthanc%2Fapp%2Fexplorer.html%3Fv%3D1"
            assert [type(event) for event in served.events] == [UserAuthentication]
            answer = await client.get("/", headers={"Accept": "text/html"})
            assert (answer.status_code, answer.headers["location"]) == (303, "/guard/")
        assert inner.asked == []


async def test_hosts_that_are_not_ours_are_turned_away(tmp_path: Path, certificates: Certificates) -> None:
    async with Recorder() as inner, guarding(tmp_path, certificates, inner.url) as served:
        served.person("reader")
        headers = bearer(served.token("reader", ALL_WEB))
        async with served.client() as client:
            for host, status in [
                ("evil.example", 421),
                ("localhost.evil.example", 421),
                ("a b", 400),
                ("127.0.0.1", 200),
            ]:
                answer = await client.get("/dicom-web/studies", headers=headers | {"Host": host})
                assert answer.status_code == status, host


async def test_a_flood_of_refusals_is_told_and_not_looked_at(tmp_path: Path, certificates: Certificates) -> None:
    async with Recorder() as inner, guarding(tmp_path, certificates, inner.url) as served:
        served.person("reader")
        good = bearer(served.token("reader", ALL_WEB))
        served.forget()
        async with served.client() as client:
            statuses = [(await client.get("/dicom-web/studies")).status_code for _ in range(310)]
            assert statuses[:300] == [401] * 300 and set(statuses[300:]) == {429}
            alerts = [event for event in served.events if isinstance(event, SecurityAlert)]
            assert len(served.events) == 310 and len(alerts) == 1  # one for each: what is too much is summed up behind
            assert (await client.get("/dicom-web/studies", headers=good)).status_code == 200  # the same address
        assert len(inner.asked) == 1


async def test_while_the_trail_cannot_record_nothing_gets_inside(tmp_path: Path, certificates: Certificates) -> None:
    async with Recorder() as inner, guarding(tmp_path, certificates, inner.url, healthy=lambda: False) as served:
        served.person("reader")
        headers = bearer(served.token("reader", ALL_WEB))
        async with served.client() as client:
            assert (await client.get("/dicom-web/studies", headers=headers)).status_code == 503
        assert inner.asked == []


async def test_by_a_public_address(tmp_path: Path, certificates: Certificates) -> None:
    """Behind another port or name: it is one of ours, pages may be sent from there, and answers lead there."""
    public = "https://images.example.org"

    def reply(asked: Asked) -> tuple[int, list[tuple[str, str]], bytes]:
        url = f"{inner.url}/studies/1.2.3"
        return (
            200,
            [("Content-Type", "application/dicom+json")],
            json.dumps([{"00081190": {"vr": "UR", "Value": [url]}}]).encode(),
        )

    async with Recorder(reply) as inner, guarding(tmp_path, certificates, inner.url, public=public) as served:
        session = await served.session(served.person("reader"))
        async with served.client(headers={"Cookie": cookie(session)["Cookie"], "Host": "images.example.org"}) as client:
            answer = await client.get("/dicom-web/studies")
            assert answer.json()[0]["00081190"]["Value"] == [f"{public}/dicom-web/studies/1.2.3"]
            for origin, status in (("https://evil.example", 403), (served.base, 403), (public, 200)):
                answer = await client.post("/guard/logout", headers={"Origin": origin})
                assert answer.status_code == status
            other = await client.get("/guard/login", headers={"Host": "other.example.org"})
            assert other.status_code == 421
