"""One's own account by its HTTP: nothing without a fresh factor, nothing for other sites, nothing of other people's."""

from __future__ import annotations

import html
import re
from pathlib import Path

import httpx2
import pyotp

from guard.people.somebody import PASSWORD
from guard.web.serving import Served, bearer, cookie, guarding
from leadapron.guard.audit.codes import Alert, Outcome
from leadapron.guard.audit.events import SecurityAlert
from leadapron.guard.gateway.told import of_people
from leadapron.guard.identity.people.confirmations import Doing
from leadapron.guard.identity.people.requests import SESSION_COOKIE
from peers.certificates import Certificates

NEW = "ein ganz neues Wort"
NOWHERE = "http://127.0.0.1:1"
FORMS = ("password", "app", "key", "token")


async def confirm(
    served: Served, client: httpx2.AsyncClient, name: str, doing: str, number: int = 0
) -> httpx2.Response:
    """The confirmation page, filled in with the app's digits."""
    form = {"do": doing, "number": str(number), "code": served.digits(name)}
    answer = await client.post("/guard/account/confirm", data=form)
    served.clock.forward(60)
    return answer


def note_in(answer: httpx2.Response) -> str:
    found = re.search(r'name="note" value="([0-9a-f]+)"', answer.text)
    assert found is not None, answer.text
    return found[1]


def inside(served: Served, session: str) -> httpx2.AsyncClient:
    return served.client(headers=cookie(session, **{"Sec-Fetch-Mode": "navigate"}))


async def test_a_new_password(tmp_path: Path, certificates: Certificates) -> None:
    async with guarding(tmp_path, certificates, NOWHERE) as served:
        name = served.person("reader")
        other, session = await served.session(name), await served.session(name)
        async with inside(served, session) as client:
            answer = await confirm(served, client, name, "password")
            form = {"note": note_in(answer), "old": PASSWORD, "password": NEW, "again": NEW}
            for wrong, said in (
                ({"again": "x"}, "differ"),
                ({"password": "kurz", "again": "kurz"}, "12 characters"),
                ({"old": "nicht das"}, "old password"),
            ):
                answer = await client.post("/guard/account/password", data=form | wrong)
                assert answer.status_code == 400 and said in answer.text and NEW not in answer.text
            served.forget()
            answer = await client.post("/guard/account/password", data=form)
            assert (answer.status_code, answer.headers["location"]) == (303, "/guard/account?done=password")
            fresh = client.cookies[SESSION_COOKIE]
        for gone in (other, session):
            async with inside(served, gone) as client:
                assert (await client.get("/guard/account")).headers["location"] == "/guard/login"
        async with inside(served, fresh) as client:
            answer = await client.get("/guard/account?done=password")
            assert answer.status_code == 200 and "password was changed" in answer.text
            assert "no-store" in answer.headers["cache-control"]
        told = of_people(served.told[0])
        assert isinstance(told, SecurityAlert)
        assert (told.kind, told.outcome) == (Alert.USER_ATTRIBUTES_CHANGED, Outcome.SUCCESS)
        assert "new password" in told.text and told.performers[0].user == name


async def test_a_token_is_made_used_and_revoked(tmp_path: Path, certificates: Certificates) -> None:
    async with guarding(tmp_path, certificates, NOWHERE) as served:
        name = served.person("reader", ("web:query", "web:retrieve"))
        async with inside(served, await served.session(name)) as client:
            answer = await confirm(served, client, name, "token")
            assert "web:query" in answer.text and "web:delete" not in answer.text
            form = {"note": note_in(answer), "label": "<b>export</b>", "days": "7", "may:web:query": "on"}
            for wrong in ({"days": "0"}, {"days": "400"}, {"days": "-1"}, {"may:web:delete": "on"}):
                answer = await client.post("/guard/account/token", data=form | wrong)
                assert answer.status_code == 400 and "lat_" not in answer.text, wrong
                assert "<b>" not in answer.text and "&lt;b&gt;export" in answer.text, "what was typed is lost"
            none = {key: value for key, value in form.items() if not key.startswith("may")}
            assert (await client.post("/guard/account/token", data=none)).status_code == 400
            answer = await client.post("/guard/account/token", data=form)
            found = re.search(r"lat_[0-9A-Za-z]+", answer.text)
            assert answer.status_code == 200 and found is not None
            token = found[0]
            assert (await client.post("/guard/account/token", data=form)).status_code == 401, "a note worked twice"
            answer = await client.get("/guard/account")
            assert "export" in answer.text and "<b>" not in answer.text and token not in answer.text
            (row,) = served.people.manage.tokens()
            assert row.permissions == {"web:query"} and row.state == "holds"
            async with served.client(headers=bearer(token)) as program:
                assert (await program.get("/dicom-web/studies")).status_code == 502  # nobody behind: it got that far
                answer = await confirm(served, client, name, "revoke", row.id)
                assert answer.headers["location"] == "/guard/account?done=revoke"
                assert (await program.get("/dicom-web/studies")).status_code == 401


async def test_factors_by_their_pages(tmp_path: Path, certificates: Certificates) -> None:
    async with guarding(tmp_path, certificates, NOWHERE) as served:
        name = served.person("reader")
        async with inside(served, await served.session(name)) as client:
            answer = await confirm(served, client, name, "app")
            found = re.search(r'class="secret">([A-Z2-7 ]+)<', answer.text)
            assert found is not None and "<svg" in answer.text
            secret = found[1].replace(" ", "")
            answer = await client.post("/guard/account/app", data={"note": note_in(answer), "code": "000000"})
            assert answer.status_code == 400 and found[1] in answer.text, "another secret than was scanned"
            digits = pyotp.TOTP(secret).at(served.clock.now())
            answer = await client.post("/guard/account/app", data={"note": note_in(answer), "code": digits})
            assert answer.headers["location"] == "/guard/account?done=app"
            served.secrets[name] = secret
            served.clock.forward(60)
            client.headers.update(cookie(client.cookies[SESSION_COOKIE]))
            client.cookies.clear()
            answer = await confirm(served, client, name, "codes")
            codes = re.findall(r"<code>([0-9A-Z-]{19})</code>", answer.text)
            assert len(codes) == 10
            answer = await client.get("/guard/account")
            assert "The last one stays" in answer.text and "10 left" in answer.text
            account = served.people.manage.people()[0]
            assert account.factors == ("totp",)
            for number in (1, 2, 99):  # the last one, and such as are none
                answer = await client.get(f"/guard/account/confirm?do=remove&number={number}")
                assert answer.status_code == 404


async def test_sessions_are_ended(tmp_path: Path, certificates: Certificates) -> None:
    async with guarding(tmp_path, certificates, NOWHERE) as served:
        name, other = served.person("reader"), served.person("other")
        strangers = await served.session(other)
        sessions = [await served.session(name) for _ in range(4)]
        async with inside(served, sessions[0]) as client:
            numbers = [one.id for one in served.people.manage.sessions()]
            assert (await client.get(f"/guard/account/confirm?do=end&number={numbers[0]}")).status_code == 404
            answer = await client.get(f"/guard/account/confirm?do=end&number={numbers[2]}")
            assert answer.status_code == 200 and "127.0.0.1" in answer.text
            answer = await confirm(served, client, name, "end", numbers[2])
            assert answer.headers["location"] == "/guard/account?done=end"
            assert served.people.session(sessions[1]) is None and served.people.session(sessions[2]) is not None
            answer = await confirm(served, client, name, "end", numbers[0])
            assert answer.status_code == 401 and served.people.session(strangers) is not None
            await confirm(served, client, name, "others")
            assert (await client.get("/guard/account")).status_code == 200
        assert [served.people.session(one) is not None for one in sessions] == [True, False, False, False]
        assert served.people.session(strangers) is not None


async def test_nothing_without_a_session_a_factor_or_from_elsewhere(tmp_path: Path, certificates: Certificates) -> None:
    async with guarding(tmp_path, certificates, NOWHERE) as served:
        name = served.person("reader")
        session = await served.session(name)
        paths = ["/guard/account/confirm", *(f"/guard/account/{form}" for form in FORMS)]
        async with served.client(headers={"Sec-Fetch-Site": "same-origin"}) as stranger:
            for path in ("/guard/account", "/guard/account/confirm?do=token"):
                assert (await stranger.get(path)).headers["location"] == "/guard/login"
            for path in paths:
                answer = await stranger.post(path, data={"do": "token", "code": served.digits(name)})
                assert answer.headers["location"] == "/guard/login"
        async with inside(served, session) as client:
            for site in ("cross-site", "same-site", "none"):
                for path in paths:
                    form = {"do": "token", "code": served.digits(name)}
                    answer = await client.post(path, data=form, headers={"Sec-Fetch-Site": site})
                    assert answer.status_code == 403
            for doing in Doing:
                for code in ("", "000000"):
                    answer = await client.post("/guard/account/confirm", data={"do": doing.value, "code": code})
                    assert answer.status_code == 401 and 'name="note"' not in answer.text
                    served.clock.forward(3600 if code else 0)
                    session = await served.session(name) if code else session
                    client.headers.update(cookie(session))
            for form in FORMS:
                answer = await client.post(f"/guard/account/{form}", data={"note": "00" * 60, "code": "1"})
                assert answer.status_code in (400, 401) and "lat_" not in answer.text
            for text in ("", "everything", "TOKEN", "x" * 500, "token "):
                assert (await client.get("/guard/account/confirm", params={"do": text})).status_code == 404
                assert (await client.post("/guard/account/confirm", data={"do": text})).status_code == 404
        assert served.people.manage.tokens() == [] and len(served.people.manage.people()[0].factors) == 1


async def test_nobody_reads_markup_out_of_a_name(tmp_path: Path, certificates: Certificates) -> None:
    async with guarding(tmp_path, certificates, NOWHERE) as served:
        name = served.person("o'hara")
        async with inside(served, await served.session(name)) as client:
            text = (await client.get("/guard/account/confirm?do=token")).text
            assert "o'hara" not in text and "o'hara" in html.unescape(text)


async def test_an_emergency_session_has_no_account_page(tmp_path: Path, certificates: Certificates) -> None:
    from leadapron.guard.identity.people import LoggedIn

    async with guarding(tmp_path, certificates, NOWHERE) as served:
        code = served.people.manage.arm(("web:view",), "test", label="safe")
        done = await served.people.break_glass(code, "night", "the phone is lost", "127.0.0.1")
        assert isinstance(done, LoggedIn)
        async with inside(served, done.session_token) as client:
            assert (await client.get("/guard/account")).headers["location"] == "/guard/"
            assert "/guard/account" not in (await client.get("/guard/")).text
