"""A real browser's WebAuthn against ours: Chromium with an authenticator of its own (CDP, domain WebAuthn).

The page stands at the guard's address because Chromium is told so; nothing is asked of any network.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import Page, sync_playwright

from guard.people.somebody import HERE, PASSWORD, SITE, House, refused
from leadapron.guard.identity.people import Begun, Enrolled, LoggedIn, LoginRefused, PasskeyProof

CREATE = """async (options) => {
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(JSON.parse(options));
  return JSON.stringify((await navigator.credentials.create({ publicKey })).toJSON());
}"""
GET = """async (options) => {
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(JSON.parse(options));
  return JSON.stringify((await navigator.credentials.get({ publicKey })).toJSON());
}"""


@pytest.fixture
def page() -> Iterator[Page]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.fail("Chromium is not installed, and this test registers a key in it: apt-get install -y chromium")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        made = browser.new_page()
        made.route("**/*", lambda route: route.fulfill(body="<title>guard</title>", content_type="text/html"))
        developer = made.context.new_cdp_session(made)
        developer.send("WebAuthn.enable")
        options = {"protocol": "ctap2", "transport": "usb", "hasResidentKey": False, "hasUserVerification": False}
        developer.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        yield made
        browser.close()


def enrolled(house: House, page: Page) -> Enrolled | object:
    people = house.people
    begun = now(people.enrol(people.manage.invite_factor(house.name, "test"), "", "", HERE))
    assert isinstance(begun, Begun) and begun.passkey is not None
    answer = page.evaluate(CREATE, begun.passkey[0])
    return now(people.enrol_passkey(begun.ticket, answer, begun.passkey[1], HERE))


def logged_in(house: House, page: Page) -> LoggedIn | LoginRefused:
    shown = house.people.passkey_options(house.name)
    assert shown is not None
    proof = PasskeyProof(page.evaluate(GET, shown[0]), shown[1])
    found = now(house.people.login(house.name, PASSWORD, proof, HERE))
    assert isinstance(found, LoggedIn | LoginRefused)
    return found


def now(coroutine: object) -> object:
    """Playwright has a loop in this thread already."""
    with ThreadPoolExecutor(1) as other:
        return other.submit(asyncio.run, coroutine).result(60)  # type: ignore[arg-type]


def test_a_browser_registers_a_key_and_logs_in_with_it(house: House, page: Page) -> None:
    page.goto(SITE.origins[0])
    done = enrolled(house, page)
    assert isinstance(done, Enrolled) and done.how == "webauthn"
    for _ in range(2):
        inside = logged_in(house, page)
        assert isinstance(inside, LoggedIn) and inside.person.how == "password+webauthn"


def test_a_page_at_another_port_is_another_origin(house: House, page: Page) -> None:
    page.goto(SITE.origins[0])
    assert isinstance(enrolled(house, page), Enrolled)
    page.goto("https://guard.example:9443")
    refused(logged_in(house, page))
