"""Whatever servers, registers, mail servers and people write, it is text on each page and in each attribute of it.

The rule that is held: a page about hostile words has the very elements, attributes and links that it has about plain
ones. So no word opens an element, ends an attribute or a script, or becomes an address, whatever the trick is called.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote_plus

import httpx2
import msgspec
import pytest
import sqlalchemy as sa

from console.lifelike import Size, fill
from console.looking import Watched, browsing
from console.parts import Sending, parts
from console.serving import COOKIE, console
from guard.people.somebody import Held
from leadapron.watch.measure.judge import record
from leadapron.watch.measure.model import Accepted, Attempt, Certificate, Count, Measurement, Tls
from leadapron.watch.track.database import open_engine
from leadapron.watch.track.tables import (
    campaigns,
    cases,
    exposures,
    hints,
    notices,
    refusals,
    scans,
    sightings,
    steps,
    views,
)

PLAIN = "Plain words"
WORDS = {
    "script": "<script>alert(1)</script>",
    "ends": "</script></title></textarea></select></pre></style></svg>--><h1>x</h1>",
    "attribute": "\"'><img src=x onerror=alert(1)> ' onmouseover='alert(1)' x=\"",
    "attribute without quotes": "x onfocus=alert(1) autofocus hx-get=/ hx-on:click=alert(1) style=position:fixed",
    "addresses": "javascript:alert(1) data:text/html,<script>alert(1)</script> https://evil.example/ //evil.example",
    "templates": "{{7*7}} {% raw %} {{ visitor }} ${7*7} #{7*7} <%= 7*7 %> {# x #}",
    "entities": "&lt;script&gt;&quot; &#x22;&#0;&NewLine;&",
    "comments": "<!-- <![CDATA[ ]]> <?xml ?> <!DOCTYPE x>",
    "direction": "abc\u202egnp.exe\u2066\u2067\u2069\u200f\u061c",
    "controls": "\x1b[2J\x1b]0;x\x07 \x08\x0b\x0c\x7f\x85\x9b31m\u2028\u2029\ufeff\u200b\u200d\u00ad",
    "nothing Unicode has": "Word \ufffe\uffff\U0001fffe\ue000\U000e0041",
    "formula": "=cmd|' /C calc'!A1 @SUM(1) +1 -1",
    "markdown": "`code` **bold** [x](javascript:alert(1)) ![x](//evil.example/x) <https://evil.example>",
    "database": "'; DROP TABLE cases; -- % _ \\",
    "long": "W" * 10_000,
    "long with markup": "<b>" * 4_000,
}
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
SHOWN = {"class", "id", "type", "method", "name", "role", "rel", "hx-target", "hx-select", "hx-swap", "hx-trigger"}
"""Attributes whose values no word may change either."""
FOUND, NONE = "asked for it", "asked for nothing"
PATHS = (
    *("/", "/?by=archive", "/exposures", "/exposures/1", "/exposures/2", "/exposures/3", "/cases", "/cases/board"),
    *("/cases/1", "/cases/2", "/cases/9", "/notices?state=draft", "/notices?state=sent", "/notices?state=failed"),
    *("/notices/1", "/notices/4", "/notices/6", "/notices/10", "/scans", "/scopes"),
)


class Shape(HTMLParser):
    """A page without its words: elements, the names of their attributes, and the values that do something."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.shape: list[object] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        kept = [(key, value if key in SHOWN else None) for key, value in attrs]
        self.shape.append((tag, kept))
        self.words += [value or "" for _, value in attrs]
        self.links += [
            value or "" for key, value in attrs if key in ("href", "src", "action", "hx-get", "hx-post", "formaction")
        ]

    def handle_endtag(self, tag: str) -> None:
        self.shape.append(tag)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def visit(word: str) -> Measurement:
    certificate = Certificate("0" * 64, word, word, (word, word), word, word, True)
    accepted = Accepted(("1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.2.2.1"), 16384, word, word)
    attempts = (Attempt("tls", word, word, accepted, Tls(word, word, certificate)),)
    count = Count(1, 2, 3, False, "lower-bound", note=word)
    return Measurement("127.1.0.1", 104, "count", attempts, "2026-11-01T00:00:00Z", 1.0, count=count)


def stain(engine: sa.Engine, word: str) -> None:
    """Put ``word`` wherever somebody else's text is kept, as if nothing had been cleaned before."""
    seen = visit(word)
    kept = {"measurement": msgspec.json.encode(seen).decode(), "record": msgspec.json.encode(record(seen)).decode()}
    owner = {key: word for key in ("organisation", "mailbox", "postal", "person", "language", "country")}
    scope = {"file": f"/nowhere/{word[:60]}", "contact": word, "reason": word}
    body = f"Good day {word}\n\n# A heading\n\nWord {word}\n"
    with engine.begin() as connection:
        for table, values in (
            (sightings, kept),
            (exposures, {"product": word, "version": word, "operator": word, "campaign": word, "country": "ZZ"}),
            (hints, {"value": sa.literal(word) + sa.cast(hints.c.id, sa.Text), "source": word, "decided_by": word}),
            (
                cases,
                {
                    "owner": msgspec.json.encode(owner).decode(),
                    "hold": word,
                    "trouble": word,
                    "arms": json.dumps({word: word}),
                },
            ),
            (steps, {"by": word, "text": word}),
            (refusals, {"why": word}),
            (
                notices,
                {"recipient": word, "domain": word, "sender": word, "subject": word, "body": body, "answer": word}
                | {"created_by": word, "approved_by": word, "arms": json.dumps({word: word})},
            ),
            (
                scans,
                {"targets": json.dumps([word, word]), "authorised_by": word, "scope": json.dumps(scope)}
                | {"campaign": word},
            ),
            (campaigns, {"changed_by": word, "paused": False}),
        ):
            connection.execute(table.update().values(values))
        connection.execute(campaigns.update().where(campaigns.c.name == "national").values(name=word))
        connection.execute(views.insert().values(person="anna", page="exposures", name=word, query="state=open"))


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A database of plain rows, to be copied."""
    file = tmp_path_factory.mktemp("clean") / "watch.db"
    engine = open_engine(f"sqlite:///{file}")
    fill(engine, Size(exposures=24, rounds=3))
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA user_version")
    engine.dispose()
    yield file


async def pages(tmp_path: Path, clean: Path, word: str) -> dict[str, httpx2.Response]:
    tmp_path.mkdir(exist_ok=True)
    copy = tmp_path / "watch.db"
    copy.write_bytes(clean.read_bytes())
    engine = open_engine(f"sqlite:///{copy}")
    stain(engine, word)
    clock = Held()
    found = {}
    async with (
        console(tmp_path, engine, parts(engine, clock, Sending()), clock) as served,
        served.client(await served.session()) as anna,
    ):
        for path in PATHS:
            found[path] = await anna.get(path)
        plain = word[:400].translate(dict.fromkeys((*range(32), 127)))  # the others are no query, which is a test below
        for where, wanted in ((FOUND, plain), (NONE, "zzz")):
            for name in ("text", "campaign", "product", "state", "order", "done"):
                found[f"{where} {name}"] = await anna.get("/exposures", params={name: wanted})
            found[f"{where} cases"] = await anna.get("/cases", params={"text": wanted})
        given = {"organisation": word[:1900], "mailbox": word[:300], "postal": word[:300], "country": "\u202e"}
        found["refused owner"] = await anna.post("/cases/9/confirm", data=given)
        found["refused change"] = await anna.post("/notices/9/edit", data={"subject": "", "body": word})
        found["refused hint"] = await anna.post("/exposures/1/hints", data={"kind": word, "value": word, "source": "x"})
        found["refused act"] = await anna.post("/cases/9/escalate", data={"level": word})
        found["missing"] = await anna.get("/nothing/~(alert)=@!")
        anna.headers["Cookie"] = ""
        found["log-in"] = await anna.post("/guard/login", data={"name": word, "password": word, "next": word})
        found["set-up"] = await anna.post("/guard/setup", data={"code": word, "name": word, "password": word})
    engine.dispose()
    return found


@pytest.fixture(scope="module")
def plain() -> dict[str, Shape]:
    return {}


@pytest.mark.parametrize("which", WORDS)
async def test_no_word_changes_what_a_page_is_made_of(
    tmp_path: Path, clean: Path, plain: dict[str, Shape], which: str
) -> None:
    if not plain:
        shown = await pages(tmp_path / "plain", clean, PLAIN)
        assert sum(PLAIN in one.text for one in shown.values()) > 25, "the words did not get as far as the pages"
        plain |= {where: Shape(one.text) for where, one in shown.items()}
    word = WORDS[which]
    for where, answer in (await pages(tmp_path, clean, word)).items():
        assert answer.status_code < 500, where
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        text = answer.text
        page = Shape(text)
        found = where == f"{FOUND} cases" and which in ("attribute", "database", "comments")  # by the owner's name
        if found or page.shape != plain[where.replace(FOUND, NONE)].shape:  # where nothing fits what was asked for
            assert page.shape == plain[where].shape, f"{where}: {differs(page.shape, plain[where].shape)}"
        for words in page.words:
            if not where.startswith(("log", "set")):  # there somebody sees their own words only
                assert not UNSEEN.search(words), (where, words[:80])
        assert "alert(1)<" not in text and not re.search(r"\b49\b.*\{%", text)
        for link in page.links:
            assert re.match(r"(/(?!/)|\?|#|$)", link), (where, link)
            assert "evil" not in link.partition("?")[0] and "\n" not in unquote_plus(link.partition("?")[0])
        assert len(text) < 2_000_000, f"{where} is {len(text):,} characters"


def differs(one: list[object], other: list[object]) -> str:
    at = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return f"{one[at - 2 : at + 3]} for {other[at - 2 : at + 3]}"


async def test_all_of_them_at_once_in_a_browser(tmp_path: Path, clean: Path) -> None:
    """Nothing runs, nothing is asked of others, nothing is complained about; and what were to run all the same, a
    script or style in the page, a frame, a request to elsewhere, is stopped by the policy."""
    copy = tmp_path / "watch.db"
    copy.write_bytes(clean.read_bytes())
    engine = open_engine(f"sqlite:///{copy}")
    stain(engine, " ".join(word for name, word in WORDS.items() if "long" not in name))
    clock = Held()
    async with console(tmp_path, engine, parts(engine, clock), clock) as served, browsing() as browser:
        context = await browser.new_context()
        await context.add_cookies([{"name": COOKIE, "value": await served.session(), "url": served.base}])
        page = await context.new_page()
        watched = Watched(page, served.base)
        page.on("dialog", lambda dialog: watched.problems.append(f"a dialog: {dialog.message}"))
        for path in PATHS:
            await page.goto(f"{served.base}{path}")
        assert watched.problems == []
        stopped = await page.evaluate(
            """async (base) => {
              const done = [], stopped = [];
              addEventListener("securitypolicyviolation", (event) => stopped.push(event.effectiveDirective));
              window.ran = () => done.push("script");
              document.body.insertAdjacentHTML("beforeend", `<img src=x onerror="ran()"><p style="color: red">x</p>
                <iframe src="${base}/"></iframe><svg onload="ran()"></svg><object data="${base}/"></object>`);
              const script = document.createElement("script");
              script.textContent = "ran()";
              document.body.append(script);
              const far = document.createElement("script");
              far.src = "http://localhost:1/x.js";
              document.body.append(far);
              await fetch("http://localhost:1/").then(() => done.push("fetch"), () => {});
              const form = document.createElement("form");
              form.action = "http://localhost:1/";
              document.body.append(form);
              form.submit();
              const kinds = () => [...new Set(stopped)].sort();
              for (let tries = 0; tries < 100 && kinds().length < 7; tries++) {
                await new Promise((resolve) => setTimeout(resolve, 50));
              }
              return [done, kinds()];
            }""",
            served.base,
        )
        inline = ["connect-src", "form-action", "frame-src", "object-src"]
        assert stopped == [[], [*inline, "script-src-attr", "script-src-elem", "style-src-attr"]]
    engine.dispose()
