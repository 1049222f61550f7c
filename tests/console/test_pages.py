"""Each page over HTTP on both databases: what it shows, what may be done, by whom, and nothing unescaped."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from console.lifelike import HOSTILE, Size, fill
from console.parts import Sending, parts
from console.serving import SCAN, SEND, VIEW, WORK, console
from guard.people.somebody import Held
from leadapron.kernel.clock import iso
from leadapron.watch.track.owner.certificate import LEADS
from leadapron.watch.track.owner.hints import Said
from leadapron.watch.track.owner.model import Found
from leadapron.watch.track.tables import cases, exposures, hints, notices, steps, views

PAGES = (
    "/",
    "/?by=archive",
    "/exposures",
    "/exposures?text=127&state=open&severity=high&country=US&order=-images&page=1",
    "/exposures/2",
    "/exposures/37",
    "/cases",
    "/cases?state=new&due=1&text=Example&order=due&page=2",
    "/cases/board",
    "/cases/2",
    "/notices",
    "/notices?state=sent",
    "/notices/1",
    "/scans",
    "/scopes",
)
SMALL = Size(exposures=40, rounds=6)


def first(engine: sa.Engine, column: sa.ColumnElement[int], *where: sa.ColumnElement[bool]) -> int:
    with engine.connect() as connection:
        return int(connection.execute(sa.select(sa.func.min(column)).where(*where)).scalar_one())


def value(engine: sa.Engine, column: sa.ColumnElement[str], *where: sa.ColumnElement[bool]) -> str | None:
    with engine.connect() as connection:
        return connection.execute(sa.select(column).where(*where)).scalar()


async def test_each_page_is_there_and_says_what_the_database_holds(tmp_path: Path, engine: sa.Engine) -> None:
    fill(engine, SMALL)
    with engine.connect() as connection:
        open_now = sa.and_(exposures.c.state == "open", exposures.c.door_of.is_(None))
        studies = connection.execute(sa.select(sa.func.sum(exposures.c.studies)).where(open_now)).scalar_one()
    async with console(tmp_path, engine) as served, served.client(await served.session()) as browser:
        for path in PAGES:
            answer = await browser.get(path)
            assert answer.status_code == 200, path
            assert answer.text.count("<h1>") == 1 and "</html>" in answer.text
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy and "unsafe" not in policy
            assert answer.headers["cache-control"] == "no-store, private"
        overview = (await browser.get("/")).text
        shares = [
            int(one.replace(",", ""))
            for one in re.findall(r'<td class="n">([\d,]+)</td><td class="n">[^<]* %', overview)
        ]
        assert sum(shares) == studies
        assert (await browser.get("/exposures/999999")).status_code == 404
        assert (await browser.get("/exposures?order=nothing")).status_code == 400
        assert (await browser.get("/static/..%2fconsole.css")).status_code in (400, 404)


async def test_an_empty_database_says_what_to_do(tmp_path: Path, engine: sa.Engine) -> None:
    async with console(tmp_path, engine) as served, served.client(await served.session()) as browser:
        overview = (await browser.get("/")).text
        assert "Nothing was seen open yet" in overview and "Time to fix" not in overview and " 0.0 %" not in overview
        for path in ("/exposures", "/cases", "/cases/board", "/notices", "/scans", "/scopes"):
            assert (await browser.get(path)).status_code == 200


async def test_nothing_that_others_wrote_stands_in_a_page_unescaped(tmp_path: Path, engine: sa.Engine) -> None:
    fill(engine, Size(exposures=12, rounds=4, hostile=True))
    clock = Held()
    async with (
        console(tmp_path, engine, parts(engine, clock), clock) as served,
        served.client(await served.session()) as browser,
    ):
        shown = 0
        for path in (*PAGES[:5], "/exposures/3", *PAGES[6:]):
            answer = await browser.get(path)
            assert answer.status_code == 200, path
            text = answer.text
            assert "<script>alert" not in text and "<img src=x" not in text
            assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", text), path
            shown += "&lt;script&gt;alert" in text
        assert HOSTILE.startswith("<script>alert") and shown > 8, "the texts did not get as far as the pages"


ACTS = {
    WORK: (
        "/exposures/2/case",
        "/exposures/2/hints",
        "/exposures/2/hints/4",
        "/cases/2/confirm",
        "/cases/2/note",
        "/cases/2/close",
        "/cases/2/notice",
        "/notices/1/edit",
        "/notices/1/drop",
    ),
    SEND: ("/notices/1/approve", "/notices/1/resolve", "/notices/approve", "/notices/send"),
    SCAN: ("/exposures/2/retest", "/scans/national/pause", "/scans/national/resume", "/scans/national/now"),
}


@pytest.mark.parametrize("needed", ACTS)
async def test_who_may_only_view_changes_nothing(tmp_path: Path, engine: sa.Engine, needed: str) -> None:
    clock, sending = Held(), Sending()
    fill(engine, Size(exposures=6, rounds=2))
    async with console(tmp_path, engine, parts(engine, clock, sending), clock) as served:
        others = tuple(one for one in (VIEW, WORK, SEND, SCAN) if one != needed)
        viewer, blind = await served.session("vera", others), await served.session("nora", (needed,))
        given = {"id": "1", "text": "x", "state": "confirmed", "why": "x", "sent": "yes", "purpose": "first"}
        for path in ACTS[needed]:
            async with served.client(viewer) as browser:
                answer = await browser.post(path, data=given)
                assert answer.status_code == 403 and needed in answer.text, path
            async with served.client(blind) as browser:
                assert (await browser.post(path, data=given)).status_code == 403, "acting takes seeing"
    assert sending.asked == 0 and value(engine, notices.c.state, notices.c.id == 1) == "draft"
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).where(steps.c.by.in_(("vera", "nora")))).scalar_one() == 0


async def test_who_may_nothing_sees_nothing(tmp_path: Path, engine: sa.Engine) -> None:
    fill(engine, SMALL)
    async with console(tmp_path, engine) as served, served.client(await served.session("nemo", ("web:view",))) as nemo:
        for path in PAGES:
            answer = await nemo.get(path)
            assert answer.status_code == 403 and VIEW in answer.text and "127.1." not in answer.text


async def test_a_case_from_its_exposure_to_its_end(tmp_path: Path, engine: sa.Engine) -> None:
    fill(engine, SMALL)
    clock, sending = Held(), Sending()
    async with (
        console(tmp_path, engine, parts(engine, clock, sending), clock) as served,
        served.client(await served.session()) as anna,
    ):
        without = ~sa.exists().where(cases.c.exposure_id == exposures.c.id)
        number = first(engine, exposures.c.id, exposures.c.state == "open", exposures.c.verdict == "exposed", without)
        done = await anna.post(f"/exposures/{number}/case")
        assert done.status_code == 303, done.text
        assert "The case is open" in (await anna.get(done.headers["location"])).text
        case = first(engine, cases.c.id, cases.c.exposure_id == number)
        clock.forward(5)
        again = await anna.post(f"/exposures/{number}/case")
        assert again.status_code == 409 and "once" in again.text

        hint = first(engine, hints.c.id, hints.c.exposure_id == number, hints.c.state != "confirmed")
        done = await anna.post(f"/exposures/{number}/hints/{hint}", data={"state": "confirmed"})
        assert done.status_code == 303
        assert value(engine, hints.c.decided_by, hints.c.id == hint) == "anna"
        other = await anna.post(f"/exposures/{number + 1}/hints/{hint}", data={"state": "rejected"})
        assert other.status_code == 409 and value(engine, hints.c.state, hints.c.id == hint) == "confirmed"
        added = await anna.post(
            f"/exposures/{number}/hints",
            data={"kind": "organisation", "value": "Clinic <b>Example</b>", "source": "telephone"},
        )
        assert added.status_code == 303
        assert "Clinic &lt;b&gt;Example&lt;/b&gt;" in (await anna.get(f"/exposures/{number}")).text

        refused = await anna.post(f"/cases/{case}/confirm", data={"organisation": "Clinic", "mailbox": "no mailbox"})
        assert refused.status_code == 409 and "mailbox" in refused.text and 'value="no mailbox"' in refused.text
        given = {
            "organisation": "Clinic Example",
            "mailbox": "it@clinic.example",
            "language": "en",
            "country": "us",
        }
        assert (await anna.post(f"/cases/{case}/confirm", data=given)).status_code == 303
        assert value(engine, cases.c.state, cases.c.id == case) == "confirmed"

        drafted = await anna.post(f"/cases/{case}/notice", data={"purpose": "first"})
        assert drafted.status_code == 303, drafted.text
        notice = int(re.search(r"/notices/(\d+)", drafted.headers["location"])[1])  # type: ignore[index]
        page = (await anna.get(f"/notices/{notice}")).text
        assert "it@clinic.example" in page and "Approve" in page
        changed = {"subject": "A line of ours", "body": "Good day,\r\n\r\nplease close it.\x00"}
        assert (await anna.post(f"/notices/{notice}/edit", data=changed)).status_code == 303
        assert value(engine, notices.c.subject, notices.c.id == notice) == "A line of ours"
        read = {"read": marks((await anna.get("/notices?page=1")).text)[notice]}
        assert (await anna.post("/notices/approve", data=read)).status_code == 303
        assert value(engine, notices.c.approved_by, notices.c.id == notice) == "anna"
        assert (await anna.post("/notices/send")).status_code == 303
        assert sending.asked == 1
        twice = await anna.post(f"/notices/{notice}/approve", data=read)
        assert twice.status_code == 409
        assert (await anna.post(f"/notices/{notice}/drop", data={"why": "they closed it"})).status_code == 303

        for act, fields in (
            ("note", {"text": "They are kind."}),
            ("acknowledge", {"text": "They look at it."}),
            ("hold", {"text": "Until Monday."}),
            ("release", {}),
            ("escalate", {"level": "2"}),
            ("close", {"text": "It was a test."}),
        ):
            done = await anna.post(f"/cases/{case}/{act}", data=fields)
            assert done.status_code == 303, (act, done.text)
        page = (await anna.get(f"/cases/{case}")).text
        assert "They are kind." in page and "It was a test." in page
        assert value(engine, cases.c.state, cases.c.id == case) == "closed"
        with engine.connect() as connection:
            by = connection.execute(sa.select(steps.c.by).where(steps.c.case_id == case)).scalars().all()
        assert set(by) == {"anna"}, "each step names who did it"
        over = await anna.post(f"/cases/{case}/acknowledge", data={"text": "x"})
        assert over.status_code == 409 and "closed" in over.text
        assert (await anna.post(f"/cases/{case}/nothing")).status_code == 404


async def test_a_notice_is_shown_as_it_is_read(tmp_path: Path, engine: sa.Engine) -> None:
    fill(engine, SMALL)
    clock = Held()
    async with (
        console(tmp_path, engine, parts(engine, clock), clock) as served,
        served.client(await served.session()) as anna,
    ):
        number = first(engine, notices.c.id, notices.c.state == "draft")
        body = "Good day,\n\n# How to <close> it\n\n- the port\n1. the <b>rest</b>\n\n    leadapron check 127.0.0.1\n"
        await anna.post(f"/notices/{number}/edit", data={"subject": "Open", "body": body})
        page = (await anna.get(f"/notices/{number}")).text
        preview, _, form = page.partition("<textarea")
        assert "<h3>How to &lt;close&gt; it</h3>" in preview and "# How" not in preview
        assert "<span>•</span> <span>the port</span>" in preview
        assert "<span>1.</span> <span>the &lt;b&gt;rest&lt;/b&gt;</span>" in preview
        assert "<pre><code>leadapron check 127.0.0.1</code></pre>" in preview
        assert "\n# How to &lt;close&gt; it\n\n- the port\n" in form, "as it is changed"


def marks(page: str) -> dict[int, str]:
    """What a form says was read, by notice."""
    return {int(found.split()[0]): found for found in re.findall(r'name="read" value="([^"]+)"', page)}


async def test_what_is_approved_is_what_was_shown(tmp_path: Path, engine: sa.Engine) -> None:
    fill(engine, SMALL)
    clock = Held()
    async with (
        console(tmp_path, engine, parts(engine, clock), clock) as served,
        served.client(await served.session()) as anna,
        served.client(await served.session("ben")) as ben,
    ):
        drafts = marks((await anna.get("/notices")).text)
        changed, other, *_ = drafts
        page = marks((await anna.get(f"/notices/{changed}")).text)
        assert page == {changed: drafts[changed]}
        new = {"subject": "Another subject", "body": "Another text"}
        assert (await ben.post(f"/notices/{changed}/edit", data=new)).status_code == 303
        said = f"Notice {changed} was changed after this page was shown to you"

        refused = await anna.post(f"/notices/{changed}/approve", data={"read": page[changed]})
        assert refused.status_code == 409 and said in refused.text and "Another text" in refused.text
        both = await anna.post("/notices/approve", data={"read": [drafts[changed], drafts[other]]})
        assert both.status_code == 409 and said in both.text
        states = [value(engine, notices.c.state, notices.c.id == one) for one in (changed, other)]
        assert states == ["draft", "draft"], "none of them"
        for nothing in ({}, {"read": str(changed)}, {"read": f"{changed} {'0' * 31}"}, {"id": str(changed)}):
            assert (await anna.post("/notices/approve", data=nothing)).status_code == 409
        elsewhere = await anna.post(f"/notices/{changed}/approve", data={"read": drafts[other]})
        assert elsewhere.status_code == 409 and value(engine, notices.c.state, notices.c.id == other) == "draft"

        now = marks(refused.text)
        assert (await anna.post(f"/notices/{changed}/approve", data={"read": now[changed]})).status_code == 303
        assert (await anna.post("/notices/approve", data={"read": drafts[other]})).status_code == 303
        states = [value(engine, notices.c.state, notices.c.id == one) for one in (changed, other)]
        assert states == ["approved", "approved"]


async def test_what_is_unsure_is_decided_by_a_person(tmp_path: Path, engine: sa.Engine) -> None:
    fill(engine, SMALL)
    clock = Held()
    async with (
        console(tmp_path, engine, parts(engine, clock), clock) as served,
        served.client(await served.session()) as anna,
    ):
        number = first(engine, notices.c.id, notices.c.state == "unsure")
        assert "They are never sent again by themselves" in (await anna.get("/notices?state=unsure")).text
        assert (await anna.post(f"/notices/{number}/resolve", data={"sent": "perhaps"})).status_code == 409
        assert (await anna.post(f"/notices/{number}/resolve", data={"sent": "yes"})).status_code == 303
        assert value(engine, notices.c.state, notices.c.id == number) == "sent"


async def test_a_letter_is_printed_and_posted_by_a_person(tmp_path: Path, engine: sa.Engine) -> None:
    fill(engine, SMALL)
    clock = Held()
    async with (
        console(tmp_path, engine, parts(engine, clock), clock) as served,
        served.client(await served.session()) as anna,
    ):
        number = first(engine, notices.c.id, notices.c.channel == "letter")
        with engine.begin() as connection:
            connection.execute(notices.update().where(notices.c.id == number).values(state="approved"))
        assert f"/notices/{number}/letter.pdf" in (await anna.get(f"/notices/{number}")).text
        letter = await anna.get(f"/notices/{number}/letter.pdf")
        assert letter.status_code == 200 and letter.content.startswith(b"%PDF")
        assert "attachment" in letter.headers["content-disposition"]
        mail = first(engine, notices.c.id, notices.c.channel == "email")
        assert (await anna.get(f"/notices/{mail}/letter.pdf")).status_code == 409
        assert (await anna.post(f"/notices/{number}/resolve", data={"sent": "yes"})).status_code == 303
        assert value(engine, notices.c.state, notices.c.id == number) == "sent"


async def test_a_guess_looks_like_one(tmp_path: Path, engine: sa.Engine) -> None:
    fill(engine, SMALL)
    clock = Held()
    real = parts(engine, clock)
    assert real.hints is not None
    case = first(engine, cases.c.id, cases.c.state == "new")
    number = first(engine, cases.c.exposure_id, cases.c.id == case)
    paths = (f"/cases/{case}", f"/exposures/{number}")
    with engine.begin() as connection:
        connection.execute(hints.delete())

    def say(source: str, value: str, where: str) -> None:
        assert real.hints is not None
        kind = "certificate-name" if source == "certificate" else source
        real.hints.put({number: {source: Said((Found(kind, value, where),), iso(clock.now()))}})

    say("certificate", "pacs.praxis-beispiel.de", LEADS)
    async with (
        console(tmp_path, engine, real, clock) as served,
        served.client(await served.session()) as anna,
    ):

        async def mailboxes() -> list[tuple[str, str]]:
            """With what they are marked as, on both pages; and what stands in the form."""
            pages = [(await anna.get(path)).text for path in paths]
            marked = re.compile(r'<code>([^<]+@[^<]+)</code> <span class="[^"]+">(\w+)</span>')
            found = [marked.findall(page) for page in pages]
            assert found[0] == found[1]
            filled = re.findall(r'id="mailbox"[^>]* value="([^"]+)"', pages[0])
            assert filled == [one for one, kind in found[0] if kind != "guess"]
            return found[0]

        assert await mailboxes() == [("security@praxis-beispiel.de", "guess")]
        say("security-txt", "cert@praxis-beispiel.de", "security.txt of praxis-beispiel.de")
        assert await mailboxes() == [("cert@praxis-beispiel.de", "published")]
        real.hints.add(number, "mailbox", "it@praxis-beispiel.de", "telephone", "anna")
        assert await mailboxes() == [("it@praxis-beispiel.de", "confirmed")]


async def test_nobody_passes_for_a_rule(tmp_path: Path, engine: sa.Engine) -> None:
    fill(engine, SMALL)
    clock = Held()
    async with (
        console(tmp_path, engine, parts(engine, clock), clock) as served,
        served.client(await served.session("rule")) as rule,
    ):
        assert (await rule.post("/cases/2/note", data={"text": "hello there"})).status_code == 303
    assert value(engine, steps.c.by, steps.c.text == "hello there") == "person rule"


async def test_views_are_each_persons_own(tmp_path: Path, engine: sa.Engine) -> None:
    fill(engine, SMALL)
    async with (
        console(tmp_path, engine) as served,
        served.client(await served.session("anna")) as anna,
        served.client(await served.session("ben", (VIEW,))) as ben,
    ):
        query = "state=open&country=US&nonsense=1&order=-images"
        saved = await anna.post("/exposures/views", data={"name": "Open <in> the US", "query": query})
        assert saved.status_code == 303 and "nonsense" not in saved.headers["location"]
        page = (await anna.get("/exposures")).text
        assert "Open &lt;in&gt; the US" in page and "state=open&amp;country=US" in page
        assert "Open &lt;in&gt; the US" not in (await ben.get("/exposures")).text
        number = first(engine, views.c.id)
        await ben.post(f"/exposures/views/{number}/forget")
        assert "Open &lt;in&gt;" in (await anna.get("/exposures")).text
        await anna.post(f"/exposures/views/{number}/forget")
        assert "Open &lt;in&gt;" not in (await anna.get("/exposures")).text
        assert (await anna.post("/exposures/views", data={"name": " ", "query": ""})).status_code == 400


async def test_scopes_say_who_until_when(tmp_path: Path, engine: sa.Engine) -> None:
    fill(engine, SMALL)
    good, over, broken = (tmp_path / f"{name}.toml" for name in ("good", "over", "broken"))
    head = 'authorised_by = "Dr. <Example>"\ncontact = "cert@example.org"\ninclude = ["10.1.0.0/16"]\n'
    good.write_text(head + "valid_until = 2030-01-31\n")
    over.write_text(head + "valid_until = 2020-01-31\n")
    broken.write_text("include = 1\n")
    files = (str(good), str(over), str(broken))
    async with console(tmp_path, engine, scopes=files) as served, served.client(await served.session()) as anna:
        page = (await anna.get("/scopes")).text
    assert "Dr. &lt;Example&gt;" in page and "10.1.0.0/16" in page
    assert 's-valid">valid' in page and 's-ended">ended' in page and 's-unreadable">unreadable' in page
    assert "Dr. Example, national CERT" in page, "as scans used them"


async def test_parts_that_do_not_run_are_not_offered(tmp_path: Path, engine: sa.Engine) -> None:
    fill(engine, SMALL)
    async with console(tmp_path, engine) as served, served.client(await served.session()) as anna:
        page = (await anna.get("/cases/2")).text
        assert "/cases/2/close" not in page
        for path in (
            "/cases/2/close",
            "/notices/1/approve",
            "/notices/send",
            "/scans/national/now",
            "/exposures/1/case",
        ):
            answer = await anna.post(path, data={"text": "x"})
            assert answer.status_code == 409 and "Not here" in answer.text


async def test_the_overview_follows_what_is_folded_and_nobody_waits_for_it(
    tmp_path: Path, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from leadapron.console.pages import overview
    from leadapron.watch.track.tables import scans

    monkeypatch.setattr(overview, "PATIENCE_S", 0.0)
    async with console(tmp_path, engine) as served, served.client(await served.session()) as anna:
        assert "Nothing was seen open yet" in (await anna.get("/")).text
        fill(engine, SMALL)
        assert "Nothing was seen open yet" in (await anna.get("/")).text, "the one before, at once"
        monkeypatch.setattr(overview, "PATIENCE_S", 30.0)
        page = (await anna.get("/")).text
        assert "Nothing was seen open yet" not in page and "As of 2026-11-21 22:00 UTC" in page
        with engine.begin() as connection:
            connection.execute(scans.update().values(folded_at="2026-11-21T23:30:00Z"))
            connection.execute(notices.update().values(state="dropped"))
        page = (await anna.get("/")).text
        assert "As of 2026-11-21 23:30 UTC" in page
        assert re.search(r'<a href="/notices">0</a>', page)


async def test_the_overview_is_there_before_anybody_asks(
    tmp_path: Path, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from leadapron.console.queries import overview as queries

    made: list[object] = []
    making = queries.overview

    def slow(connection: sa.Connection) -> queries.Overview:
        time.sleep(0.2)
        made.append(found := making(connection))
        return found

    monkeypatch.setattr(queries, "overview", slow)
    fill(engine, SMALL)
    async with console(tmp_path, engine) as served:
        assert len(made) == 1, "the first visitor would have waited for it"
        async with served.client(await served.session()) as anna:
            assert "As of 2026-11-21" in (await anna.get("/")).text
        assert len(made) == 1


async def test_what_is_read_once_is_read_at_the_start(tmp_path: Path, engine: sa.Engine) -> None:
    from leadapron.console import render
    from leadapron.console.map import draw
    from leadapron.watch.track.owner import domains

    kept = (draw.outlines, render.environment, domains._lists)
    for one in kept:
        one.cache_clear()
    async with console(tmp_path, engine):
        assert [one.cache_info().currsize for one in kept] == [1, 1, 1]


async def test_a_database_that_takes_its_time_holds_up_no_start(
    tmp_path: Path, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from leadapron.console.pages import overview as pages
    from leadapron.console.queries import overview as queries

    held, making = threading.Event(), queries.overview
    monkeypatch.setattr(pages, "START_S", 0.05)
    monkeypatch.setattr(queries, "overview", lambda connection: (held.wait(30), making(connection))[1])
    fill(engine, SMALL)
    async with console(tmp_path, engine) as served, served.client(await served.session()) as anna:
        assert (await anna.get("/cases")).status_code == 200
        asked = asyncio.create_task(anna.get("/"))
        held.set()
        assert "As of 2026-11-21" in (await asked).text
