"""Notices as people handle them: drafted once, approved as read, changed, dropped, decided about; to whom and how."""

from __future__ import annotations

import msgspec
import pytest
import sqlalchemy as sa

from leadapron.kernel.clock import iso
from leadapron.kernel.errors import UsageError
from leadapron.watch.reach.arms.factors import arms_of, draw
from leadapron.watch.reach.cases.model import Owner
from leadapron.watch.reach.notices.facts import mark, token
from leadapron.watch.reach.notices.settings import Sender
from leadapron.watch.track.tables import exposures, hints, metadata, notices
from postroom import US, Bureau

POSTAL = "Klinik am See\nSeestraße 1\n12345 Musterstadt"


def with_case(bureau: Bureau, number: int = 1, **owner: str) -> int:
    """The number of a case whose owner is confirmed."""
    bureau.scan(number)
    bureau.cases.open_for(range(1, number + 1), "ada")
    case = bureau.case(number)
    bureau.cases.confirm(case.id, Owner(organisation="Klinik am See", **owner), "ada")
    return case.id


def rows(engine: sa.Engine) -> str:
    with engine.connect() as connection:
        return repr([connection.execute(sa.select(table)).all() for table in metadata.sorted_tables])


def test_a_preview_keeps_nothing(engine: sa.Engine) -> None:
    bureau = Bureau(engine, msgspec.structs.replace(US, arms=("framing", "medium"), seed=7))
    case = with_case(bureau, mailbox="it@clinic.example", language="fr", country="FR")
    before = rows(engine)
    text = bureau.desk.preview(case)
    assert rows(engine) == before
    notice = bureau.desk.draft(case, "first", "ada")
    assert (text.subject, text.arms) == (notice.subject, notice.arms)
    code = mark(case, token(str(notice.message_id)))
    assert code in notice.body and text.body == notice.body.replace(code, mark(case, "x" * 16)), "but for its code"
    assert notice.language == "fr" and "Madame, Monsieur" in notice.body


def test_drafts_are_made_once(engine: sa.Engine) -> None:
    bureau = Bureau(engine)
    case = with_case(bureau, mailbox="it@clinic.example")
    notice = bureau.desk.draft(case, "first", "ada")
    assert notice.state == "draft" and notice.created_by == "ada" and notice.domain == "clinic.example"
    with pytest.raises(UsageError, match="still waits"):
        bureau.desk.draft(case, "first", "ada")
    bureau.desk.drop(notice.id, "ada", "they called")
    assert bureau.desk.draft(case, "first", "ada").id != notice.id
    with pytest.raises(UsageError, match="purpose"):
        bureau.desk.draft(case, "greeting", "ada")
    with pytest.raises(UsageError, match="level"):
        bureau.desk.draft(case, "escalation", "ada", level=4)


def test_a_draft_in_the_callers_transaction_goes_with_it(engine: sa.Engine) -> None:
    bureau = Bureau(engine)
    case = with_case(bureau, mailbox="it@clinic.example")
    with pytest.raises(RuntimeError), engine.begin() as connection:
        bureau.desk.draft(case, "first", "rule", connection=connection)
        raise RuntimeError
    assert bureau.desk.find() == ([], 0)
    assert "drafted" not in bureau.told(case)


def test_what_was_approved_is_what_was_read(engine: sa.Engine) -> None:
    bureau = Bureau(engine)
    (notice,) = bureau.approved("it@clinic.example")
    assert (notice.approved_by, notice.approved_at) == ("ada", iso(bureau.calendar.now()))
    assert notice.message_id is not None and notice.message_id.endswith("@cert.example>")
    changed = bureau.desk.edit(
        notice.id, "bob", subject="Your\r\nBcc: x@y.example archive\x1b", body="Hello\x00\r\n\r\n\r\n\r\nyou\x1b[2J"
    )
    assert (changed.state, changed.approved_by) == ("draft", None)
    assert changed.subject == "Your Bcc: x@y.example archive"
    assert changed.body == "Hello\ufffd\n\nyou\ufffd[2J\n"
    for nothing in ({"subject": " "}, {"body": "\n\n"}, {"body": "x" * 50_000}):
        with pytest.raises(UsageError):
            bureau.desk.edit(notice.id, "bob", **nothing)
    again = bureau.desk.approve([notice.id], "bob")[0]
    assert again.message_id == notice.message_id
    notes = [step.text for step in bureau.cases.steps(notice.case_id) if step.kind == "note"]
    assert notes == [
        f"notice {notice.id} approved",
        f"notice {notice.id} changed by bob",
        f"notice {notice.id} approved",
    ]


def test_what_was_changed_since_it_was_read_is_not_approved(engine: sa.Engine) -> None:
    bureau = Bureau(engine)
    first, second = bureau.drafts("a@one.example", "b@two.example")
    bureau.desk.edit(second.id, "bob", body="Something else")
    with pytest.raises(UsageError, match="changed since"):
        bureau.desk.approve([first.id, second.id], "ada", as_read=[first, second])
    assert [bureau.state(one) for one in (first, second)] == ["draft", "draft"]
    bureau.desk.approve([first.id, second.id], "ada", as_read=[first, bureau.desk.get(second.id)])


def test_approving_is_for_all_or_none(engine: sa.Engine) -> None:
    bureau = Bureau(engine)
    first, second = bureau.drafts("a@one.example", "b@two.example")
    bureau.cases.refuse("mailbox", "b@two.example", "ada", "asked")
    with pytest.raises(UsageError):
        bureau.desk.approve([first.id, second.id], "ada")
    assert bureau.state(first) == "draft"
    assert bureau.state(second) == "dropped"  # with the refusal
    with pytest.raises(UsageError, match="no notice 99"):
        bureau.desk.approve([99], "ada")


@pytest.mark.parametrize("state", ["draft", "approved", "sending", "sent", "failed", "bounced", "dropped"])
def test_only_what_is_unsure_is_decided(engine: sa.Engine, state: str) -> None:
    bureau = Bureau(engine)
    (notice,) = bureau.approved("a@one.example")
    with engine.begin() as connection:
        connection.execute(notices.update().values(state=state))
    for sent in (True, False):
        with pytest.raises(UsageError, match=f"is {state}"):
            bureau.desk.resolve(notice.id, sent, "ada")


def test_a_letter_is_sent_by_whoever_posts_it(engine: sa.Engine) -> None:
    bureau = Bureau(engine)
    case = with_case(bureau, postal=POSTAL, country="DE")
    letter = bureau.desk.draft(case, "first", "ada")
    assert (letter.channel, letter.recipient, letter.domain, letter.language) == ("letter", POSTAL, "", "de")
    bureau.desk.approve([letter.id], "ada")
    assert bureau.desk.letter(letter.id)[0].startswith(b"%PDF")
    with pytest.raises(UsageError):
        bureau.desk.resolve(letter.id, False, "ada")
    assert bureau.desk.resolve(letter.id, True, "ada").state == "sent"
    assert bureau.cases.get(case).state == "notified"


def test_a_letter_is_not_printed_for_who_refused(engine: sa.Engine) -> None:
    bureau = Bureau(engine)
    case = with_case(bureau, postal=POSTAL)
    letter = bureau.desk.draft(case, "first", "ada")
    bureau.desk.approve([letter.id], "ada")
    bureau.cases.refuse("network", "127.0.0.0/8", "ada", "asked")
    with pytest.raises(UsageError, match="asked"):
        bureau.desk.letter(letter.id)


def test_whom_a_case_is_taken_to(engine: sa.Engine) -> None:
    bureau = Bureau(engine)
    case = with_case(bureau, mailbox="it@clinic.example", language="fr")
    with pytest.raises(UsageError, match="abuse mailbox"):
        bureau.desk.draft(case, "escalation", "ada", level=1)
    with pytest.raises(UsageError, match="country is not known"):
        bureau.desk.draft(case, "escalation", "ada", level=2)
    with engine.begin() as connection:
        connection.execute(exposures.update().values(country="DE"))
        for value, state in (("wrong@net.example", "rejected"), ("abuse@net.example", "hint")):
            row = {"exposure_id": 1, "kind": "abuse-mailbox", "value": value, "source": "RDAP", "state": state}
            connection.execute(hints.insert().values(**row, at="2026-11-01T00:00:00Z"))
    operator = bureau.desk.draft(case, "escalation", "ada", level=1)
    assert "welcher Ihrer Kunden" in operator.body  # nobody was written to before
    assert (operator.recipient, operator.language) == ("abuse@net.example", "de")
    assert "Klinik am See" not in operator.body
    cert = bureau.desk.draft(case, "escalation", "ada", level=2)
    assert cert.recipient == "certbund@bsi.bund.de" and "Klinik am See" in cert.body
    feed = bureau.desk.preview(case, "escalation", level=2, channel="feed")
    assert (feed.channel, feed.recipient) == ("feed", "CERT-Bund")
    named = bureau.desk.draft(case, "escalation", "ada", level=3, to="poststelle@authority.example")
    assert named.recipient == "poststelle@authority.example"
    for wrong in ("x@y.example\nBcc: z@y.example", "X <x@y.example>", "x"):
        with pytest.raises(UsageError, match="plain mailbox"):
            bureau.desk.preview(case, "escalation", level=3, to=wrong)


def test_a_feed_entry_counts_when_the_round_comes(engine: sa.Engine) -> None:
    import asyncio

    from leadapron.watch.reach.notices.sending import send_due

    bureau = Bureau(engine)
    case = with_case(bureau, mailbox="it@clinic.example")
    with engine.begin() as connection:
        connection.execute(exposures.update().values(country="DE"))
    entry = bureau.desk.draft(case, "escalation", "ada", level=2, channel="feed")
    bureau.desk.approve([entry.id], "ada")
    sent = asyncio.run(send_due(engine, US, bureau.calendar))  # no mail server is needed for it
    assert sent.sent == (entry.id,)
    assert bureau.desk.get(entry.id).answer == "stands in the feed"


def test_lots_are_drawn_once_and_kept(engine: sa.Engine) -> None:
    senders = (
        Sender(name="cert"),
        Sender(name="university", organisation="Example University", from_="pacs@uni.example"),
    )
    settings = msgspec.structs.replace(US, arms=("sender", "framing", "medium", "language"), seed=42, sender=senders)
    bureau = Bureau(engine, settings)
    numbers = range(1, 9)
    for number in numbers:
        with_case(bureau, number, mailbox=f"it@c{number}.example", postal=POSTAL, language="tr")
    drawn = []
    for number in numbers:
        case = bureau.case(number)
        notice = bureau.desk.draft(case.id, "first", "ada")
        assert notice.arms == bureau.cases.get(case.id).arms
        assert notice.channel == notice.arms["medium"]
        assert notice.language == ("tr" if notice.arms["language"] == "local" else "en")
        assert notice.sender == (
            "pacs@uni.example" if notice.arms["sender"] == "university" else "open-images@cert.example"
        )
        assert ("Example University" in notice.body) == (notice.arms["sender"] == "university")
        drawn.append(notice.arms)
    factors = arms_of(settings.arms, ["university", "cert"])
    assert drawn == [draw(number, factors, 42) for number in range(8)]
    for factor in factors:
        assert len([one for one in drawn if one[factor] == factors[factor][0]]) == 4
    again = bureau.case(1)
    bureau.desk.drop(bureau.desk.find(case_id=again.id)[0][0].id, "ada", "anew")
    assert bureau.desk.draft(again.id, "first", "ada").arms == drawn[0]


def test_finding(engine: sa.Engine) -> None:
    bureau = Bureau(engine)
    first, second = bureau.drafts("a@one.example", "b@two.example")
    bureau.desk.drop(first.id, "ada", "no")
    assert [one.id for one in bureau.desk.find(state="draft")[0]] == [second.id]
    assert [one.id for one in bureau.desk.find(text="A@ONE")[0]] == [first.id]
    assert bureau.desk.find(limit=1, order="id")[0][0].id == first.id
    assert bureau.desk.find(limit=1)[1] == 2
    assert bureau.desk.counts()["draft"] == 1
    for wrong in ({"state": "lost"}, {"order": "body"}):
        with pytest.raises(UsageError):
            bureau.desk.find(**wrong)


def test_rules_draft_through_it(engine: sa.Engine) -> None:
    bureau = Bureau(engine)
    with_case(bureau, mailbox="it@clinic.example")
    done = bureau.follow()
    assert len(done.drafted) == 1 and not done.problems
    assert bureau.desk.get(done.drafted[0]).created_by == "rule"
