"""Whoever comes with a browser, a program or a one-time code: nobody gets more than is granted, one message each.

The pages, the proxy and the enrolment service of one running guard, before an archive that answers everything and
writes down what it is asked.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from guard.people.somebody import PASSWORD
from guard.whole.premises import ARCHIVE_AE, Premises, bare, premises
from guard.whole.recording import Archive, WebArchive
from guard.whole.visiting import Answer, associate, fetch, post_form, said
from leadapron.guard.identity import export
from leadapron.guard.identity.authority import Authority
from leadapron.guard.identity.contexts import client_context
from leadapron.guard.identity.csr import key_pem, new_key, request
from leadapron.guard.identity.issuing import invite, redeem
from leadapron.guard.identity.people.requests import SESSION_COOKIE
from leadapron.wire.aio import serve
from peers.process import HOST, free_port
from peers.samples import make_studies


def make_file() -> bytes:
    """A file as a device writes it."""
    with tempfile.TemporaryDirectory() as home:
        return make_studies(Path(home), 1, pixels=4)[0].read_bytes()


ALL = ("web:view", "web:query", "web:retrieve", "web:store", "web:delete")
ID = "00000000-11111111-22222222-33333333-44444444"
FILE = make_file()
RELATED = "multipart/related; type=application/dicom; boundary=cut"


@dataclass(frozen=True)
class Asks:
    """A request, and the permission that it needs; None: nobody has it."""

    method: str
    path: str
    permission: str | None
    body: bytes = b""
    kind: str = ""


REQUESTS = (
    Asks("GET", "/dicom-web/studies?PatientName=*", "web:query"),
    Asks("GET", "/dicom-web/studies/1.2.3", "web:retrieve"),
    Asks("GET", "/dicom-web/studies/1.2.3/metadata", "web:retrieve"),
    Asks("GET", "/wado?requestType=WADO&studyUID=1.2&seriesUID=1.3&objectUID=1.4", "web:retrieve"),
    Asks(
        "POST",
        "/dicom-web/studies",
        "web:store",
        b"--cut\r\nContent-Type: application/dicom\r\n\r\n" + FILE + b"\r\n--cut--\r\n",
        RELATED,
    ),
    Asks("DELETE", "/dicom-web/studies/1.2.3", "web:delete"),
    Asks("GET", "/orthanc/system", "web:view"),
    Asks("GET", "/orthanc/studies", "web:query"),
    Asks("GET", f"/orthanc/instances/{ID}/file", "web:retrieve"),
    Asks("DELETE", f"/orthanc/studies/{ID}", "web:delete"),
    Asks("POST", "/orthanc/instances", "web:store", FILE, "application/dicom"),
    Asks("POST", "/orthanc/tools/execute-script", None, b"os.exit()"),
    Asks("POST", "/orthanc/tools/shutdown", None),
    Asks("PUT", "/orthanc/modalities/evil", None, b"[]"),
    Asks("GET", "/dicom-web/../orthanc/changes", None),
    Asks("GET", "/system", None),
    Asks("GET", "/admin/peers", None),
)


class Scene:
    """``tls``: of somebody without a certificate. ``cookies`` and ``tokens``: what visitors have, by its kind."""

    def __init__(self, place: Premises, archive: Archive, recorder: WebArchive) -> None:
        self.premises, self.archive, self.recorder = place, archive, recorder
        self.tls = bare(None)
        self.tokens: dict[str, str] = {}
        for name in ("anna", "berta"):
            place.person(name, ALL)
        make = place.people.manage.make_token
        self.tokens["revoked"] = make("anna", ALL, 30, "test", "old")
        (row,) = place.people.manage.tokens()
        assert place.people.manage.revoke_token(row.id, "test")
        self.tokens["of somebody who left"] = make("berta", ALL, 30, "test")
        place.people.manage.set_disabled("berta", True, "test")
        self.tokens["expired"] = make("anna", ALL, 1, "test")
        place.clock.move(timedelta(days=2).total_seconds())
        self.tokens["cut short"] = make("anna", ALL, 300, "test")[:-1]
        self.tokens["invented"] = "la_" + "A" * 40

    @property
    def arrived(self) -> int:
        return self.archive.count + len(self.recorder.asked) + self.recorder.broken

    def login(self, address: str, **fields: str) -> Answer | None:
        place = self.premises
        return place.call(post_form(place.web, address, self.tls, "/guard/login", **fields))

    def session(self) -> str:
        """The cookie of somebody who has just come in; the way there is an attempt, too."""
        place = self.premises
        answer = self.login(place.address(), name="anna", password=PASSWORD, code=place.digits("anna"))
        assert answer is not None and answer.status == 303, answer
        (cookie,) = (one for one in answer.cookies if one.startswith(SESSION_COOKIE))
        return cookie


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    root, port, archive = tmp_path_factory.mktemp("premises"), free_port(), Archive()
    recorder = WebArchive(free_port())

    @contextlib.asynccontextmanager
    async def beside() -> AsyncIterator[None]:
        async with serve(HOST, port, archive, grace=0), recorder:
            yield

    with premises(root, (port, recorder.url), beside=beside) as place:
        yield Scene(place, archive, recorder)


def asked(scene: Scene, one: Asks, address: str, **headers: str) -> Answer | None:
    place = scene.premises
    kind = {"Content-Type": one.kind} if one.kind else {}
    fields = kind | {name.replace("_", "-"): value for name, value in headers.items()}
    return place.call(fetch(place.web, address, scene.tls, one.method, one.path, fields, one.body))


# ---- the proxy -------------------------------------------------------------------------------------------------------

OWN = {"Sec_Fetch_Site": "same-origin", "Sec_Fetch_Mode": "cors"}
FORGED = ("none", "invented session", "ended session", "left session", "basic", "two tokens", "query token")
TOKENS = ("revoked", "of somebody who left", "expired", "cut short", "invented")


def shown(scene: Scene, kind: str) -> dict[str, str]:
    """The headers of a stranger who has something in his hands."""
    place = scene.premises
    if kind in TOKENS:
        return {"Authorization": f"Bearer {scene.tokens[kind]}"}
    if kind == "invented session":
        return {"Cookie": f"{SESSION_COOKIE}={'A' * 43}", **OWN}
    if kind == "ended session":
        cookie = scene.session()
        place.clock.move(16 * 60)  # nothing was done for longer than somebody may stand idle
        return {"Cookie": cookie, **OWN}
    if kind == "left session":
        cookie = scene.session()
        left = {"Cookie": cookie, "Origin": f"https://localhost:{place.web}", "Sec-Fetch-Site": "same-origin"}
        done = place.call(fetch(place.web, place.address(), scene.tls, "POST", "/guard/logout", left))
        assert done is not None and done.status == 200
        return {"Cookie": cookie, **OWN}
    if kind == "basic":
        return {"Authorization": "Basic b3J0aGFuYzpvcnRoYW5j"}  # orthanc:orthanc
    if kind == "two tokens":
        return {"Authorization": f"Bearer {scene.tokens['revoked']}, Bearer x"}
    return {}


@settings(max_examples=50, phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow])
@given(kind=st.sampled_from(FORGED + TOKENS), one=st.sampled_from(REQUESTS), page=st.booleans())
def test_strangers_get_nothing_from_the_proxy(scene: Scene, kind: str, one: Asks, page: bool) -> None:
    place = scene.premises
    headers = shown(scene, kind) | ({"Accept": "text/html"} if page else {})
    if kind == "query token":
        one = Asks(one.method, f"{one.path}{'&' if '?' in one.path else '?'}token=x", None, one.body, one.kind)
    address, arrived, messages = place.address(), scene.arrived, len(place.trail())
    answer = asked(scene, one, address, **headers)
    event(f"{kind}: {None if answer is None else answer.status}")
    assert answer is not None and answer.status in (303, 400, 401), answer
    assert answer.status != 303 or answer.headers["location"].startswith("/guard/login"), answer
    assert scene.arrived == arrived and not answer.cookies
    told = place.since(messages)
    assert len(told) == 1 and told == place.about(address), (kind, one, told)
    # The end of a session that was left idle is no failure: it is told as what it is.
    assert told[0].outcome != 0 or kind == "ended session"


@settings(max_examples=60, phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow])
@given(
    granted=st.lists(st.sampled_from(ALL), min_size=1, unique=True).map(tuple),
    asks=st.lists(st.sampled_from(REQUESTS), min_size=3, max_size=6),
)
def test_a_token_opens_what_it_is_for_and_nothing_else(
    scene: Scene, granted: tuple[str, ...], asks: list[Asks]
) -> None:
    place = scene.premises
    manage = place.people.manage
    token = manage.make_token("anna", granted, 300, "test")
    for one in asks:
        address, arrived, messages = place.address(), scene.arrived, len(place.trail())
        answer = asked(scene, one, address, Authorization=f"Bearer {token}")
        assert answer is not None
        told = place.since(messages)
        if one.permission in granted:
            event(f"{one.permission} is let through")
            assert scene.arrived > arrived, "what is allowed reaches the archive"
        else:
            assert answer.status in (400, 403, 404, 405) and scene.arrived == arrived, (one, granted, answer)
            assert len(told) == 1 and told[0].event == "alert", (one, granted, told)
        assert all(address in entry.names() for entry in told)
    for row in manage.tokens():
        manage.revoke_token(row.id, "test")


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": "https://evil.example", "Sec_Fetch_Site": "same-origin"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "image"},
        {},
    ],
)
def test_a_session_that_another_page_rides_on(scene: Scene, headers: dict[str, str]) -> None:
    place = scene.premises
    cookie = scene.session()
    for one in REQUESTS:
        if one.method == "GET" and not headers:
            continue  # a reader who types an address says nothing of where it stands
        address, arrived, messages = place.address(), scene.arrived, len(place.trail())
        place.clock.move(-100)  # not so long that the session ends
        answer = asked(scene, one, address, Cookie=cookie, **headers)
        assert answer is not None and answer.status in (400, 403) and scene.arrived == arrived, (one, answer)
        assert len(place.since(messages)) == 1 == len(place.about(address)), one


def test_a_session_of_ones_own_works_until_it_is_left(scene: Scene) -> None:
    cookie, arrived = scene.session(), scene.arrived
    answer = asked(scene, REQUESTS[0], scene.premises.address(), Cookie=cookie, **OWN)
    assert answer is not None and answer.status == 200 and scene.arrived > arrived


# ---- getting in ------------------------------------------------------------------------------------------------------

Fields = Callable[[Premises], dict[str, str]]
WRONG: dict[str, Fields] = {
    "unknown user": lambda place: {"name": "carla", "password": PASSWORD, "code": "123456"},
    "wrong password": lambda place: {"name": "anna", "password": "x" * 12, "code": place.digits("anna")},
    "password alone": lambda place: {"name": "anna", "password": PASSWORD},
    "empty code": lambda place: {"name": "anna", "password": PASSWORD, "code": ""},
    "wrong code": lambda place: {
        "name": "anna",
        "password": PASSWORD,
        "code": f"{(int(place.digits('anna')) + 1) % 10**6:06d}",
    },
    "code alone": lambda place: {"name": "anna", "password": "", "code": place.digits("anna")},
    "somebody who left": lambda place: {"name": "berta", "password": PASSWORD, "code": place.digits("berta")},
    "default credentials": lambda place: {"name": "orthanc", "password": "orthanc", "code": "000000"},
    "invented key": lambda place: {"name": "anna", "password": PASSWORD, "response": "{}", "challenge": "x"},
    "nothing": lambda place: {},
    "markup": lambda place: {"name": "<script>\x1b[2J' OR 1=1 --", "password": "'", "code": "\x00"},
}


@pytest.mark.parametrize("kind", WRONG)
def test_who_does_not_prove_all_of_it_does_not_come_in(scene: Scene, kind: str) -> None:
    place = scene.premises
    fields, address = WRONG[kind](place), place.address()
    messages, arrived = len(place.trail()), scene.arrived
    answer = scene.login(address, **fields)
    assert answer is not None and answer.status == 401 and not answer.cookies
    (told,) = place.since(messages)
    assert told.event == "login" and told.outcome != 0 and address in told.names()
    assert scene.arrived == arrived


def test_a_code_of_the_authenticator_opens_once(scene: Scene) -> None:
    place = scene.premises
    code = place.digits("anna")
    first = scene.login("127.77.200.1", name="anna", password=PASSWORD, code=code)
    assert first is not None and first.status == 303
    again = scene.login("127.77.200.2", name="anna", password=PASSWORD, code=code)
    assert again is not None and again.status == 401 and not again.cookies
    assert [one.outcome == 0 for address in ("127.77.200.1", "127.77.200.2") for one in place.about(address)] == [
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/guard/setup", {"code": "AAAA-AAAA-AAAA-AAAA", "name": "eve", "password": PASSWORD, "again": PASSWORD}),
        ("/guard/setup", {"code": "", "name": "anna", "password": PASSWORD, "again": PASSWORD}),
        ("/guard/setup/factor", {"ticket": "x", "code": "123456"}),
        ("/guard/setup/factor", {"ticket": "x", "response": "{}", "challenge": "x"}),
        ("/guard/emergency", {"code": "AAAA-AAAA-AAAA-AAAA", "who": "eve", "reason": "curious"}),
        ("/guard/emergency", {"code": "", "who": "eve", "reason": "curious"}),
    ],
)
def test_codes_that_nobody_gave_out(scene: Scene, path: str, fields: dict[str, str]) -> None:
    """The administration's surface in the browser: set-up, factors, break-glass."""
    place = scene.premises
    address, messages, people = place.address(), len(place.trail()), len(place.people.manage.people())
    answer = place.call(post_form(place.web, address, scene.tls, path, **fields))
    assert answer is not None and answer.status in (400, 401) and not answer.cookies
    told = place.since(messages)
    assert len(told) == 1 and told == place.about(address) and told[0].outcome != 0, told
    assert len(place.people.manage.people()) == people


# ---- coming in as a machine ------------------------------------------------------------------------------------------


def test_nobody_gets_a_certificate_without_a_code(scene: Scene) -> None:
    place = scene.premises
    code = invite(place.registry, place.authority, name="CT7", ae="CT7", host=HOST, port=place.enrolment)
    withdrawn = invite(place.registry, place.authority, name="CT8", ae="CT8", host=HOST, port=place.enrolment)
    invite(place.registry, place.authority, name="CT8", ae="CT8", host=HOST, port=place.enrolment)
    redeem(place.registry, place.authority, code.secret, request(new_key()), HOST)
    late = invite(
        place.registry,
        place.authority,
        name="CT9",
        ae="CT9",
        host=HOST,
        port=place.enrolment,
        life=timedelta(minutes=1),
    )
    place.enrol("OUT1")
    assert place.registry.revoke("OUT1", "sold")
    foreign = Authority.create(place.root / "foreign", "Lead Apron guard of localhost")
    key, forged = new_key(), place.root / "forged"
    chain = foreign.sign_peer(request(key), name="CT7", ae="CT7")
    export.write_pem(forged, export.KeyPair(key_pem(key), chain))
    csr = request(new_key()).decode()

    def enrolling(secret: bytes) -> bytes:
        return json.dumps({"secret": secret.hex(), "request": csr}).encode()

    renewing = json.dumps({"request": csr}).encode()
    attempts: list[tuple[str, str, str, bytes, ssl.SSLContext | None]] = [
        ("spent", "POST", "/enrol", enrolling(code.secret), scene.tls),
        ("withdrawn", "POST", "/enrol", enrolling(withdrawn.secret), scene.tls),
        ("late", "POST", "/enrol", enrolling(late.secret), scene.tls),
        ("invented", "POST", "/enrol", enrolling(bytes(16)), scene.tls),
        ("no code", "POST", "/enrol", b"{}", scene.tls),
        ("no JSON", "POST", "/enrol", b"\xff" * 100, scene.tls),
        ("no certificate", "POST", "/renew", renewing, scene.tls),
        ("revoked", "POST", "/renew", renewing, client_context(place.peers["OUT1"])),
        ("another authority's", "POST", "/renew", renewing, bare(forged)),
        ("another page", "GET", "/peers", b"", scene.tls),
        ("another method", "DELETE", "/enrol", b"", scene.tls),
        ("plain", "POST", "/enrol", enrolling(bytes(16)), None),
    ]
    before = len(place.registry.certificates())
    for kind, method, path, body, tls in attempts:
        address, messages = place.address(), len(place.trail())
        answer = place.call(fetch(place.enrolment, address, tls, method, path, {}, body))
        assert answer is None or (answer.status >= 400 and b"CERTIFICATE" not in answer.body), (kind, answer)
        place.wait_told(address)
        told = place.since(messages)
        assert len(told) == 1 and told == place.about(address) and told[0].outcome != 0, (kind, told)
    assert len(place.registry.certificates()) == before


def test_the_authority_is_shown_to_anybody_and_that_is_all(scene: Scene) -> None:
    place = scene.premises
    answer = place.call(fetch(place.enrolment, place.address(), scene.tls, "GET", "/authority"))
    assert answer is not None and answer.body == place.authority.pem


@pytest.mark.parametrize("port", ["web", "enrolment"])
def test_dicom_on_the_wrong_port(scene: Scene, port: str) -> None:
    place = scene.premises
    number, arrived = getattr(place, port), scene.arrived
    for tls in (None, scene.tls):
        address = place.address()
        met = place.call(associate(number, address, tls, "echo", calling="CT1", called=ARCHIVE_AE))
        assert not met.accepted
        place.wait_told(address)
        assert len(place.about(address)) == 1
    assert scene.arrived == arrived


def test_plain_http_on_the_port_of_the_pages(scene: Scene, tmp_path: Path) -> None:
    place = scene.premises
    address, arrived = place.address(), scene.arrived
    heard = place.call(said(place.web, address, b"GET /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    assert b"200" not in heard and scene.arrived == arrived
    place.wait_told(address)
    assert len(place.about(address)) == 1
