"""What notices say: every kind in every language, for every product, whatever a server called itself."""

from __future__ import annotations

import re
import shlex
import tomllib
from importlib import resources

import click
import jinja2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadapron.cli.main import root
from leadapron.watch.measure.judge import record
from leadapron.watch.measure.judge.remedies.data import GENERIC, files
from leadapron.watch.measure.model import Accepted, Attempt, Count, Echo, Load, Measurement
from leadapron.watch.reach.notices import words
from leadapron.watch.reach.notices.facts import Facts, _translated, commands, facts
from leadapron.watch.reach.notices.layout import LONGEST, blocks, tidy, wrapped
from leadapron.watch.reach.notices.model import LANGUAGES, PURPOSES
from leadapron.watch.track.exposures.model import Exposure, Marks
from leadapron.watch.track.owner.countries import country, known, name
from leadapron.wire import uids
from postroom import US
from sightings import OBSERVED

HOSTILE = (
    "\x1b[31m<script>alert(1)</script>\r\nBcc: all@clinic.example\u202eREVERSED\u2028{{ f.us }}{% for %}#let"
    + "x" * 5000
)
IDENTITIES = {  # as products name themselves; see software/products.toml
    "orthanc": ("1.2.276.0.7230010.3.0.3.6.7", "ORTHANC_1.12.1", 4242),
    "dcmtk": ("1.2.276.0.7230010.3.0.3.6.7", "OFFIS_DCMTK_367", 104),
    "dcm4chee": ("1.2.40.0.13.1.3", "dcm4che-5.29.0", 11112),
    "conquest": ("1.2.826.0.1.3680043.2.135.1066.101", "1.5.0/WIN32", 5678),
    "clearcanvas": ("1.3.6.1.4.1.25403.1.1.1", "Dicom 0.1", 104),
    "osirix": ("1.2.826.0.1.3680043.8.1057.1.1", "OSIRIX", 11112),
    GENERIC: ("1.2.3.4", HOSTILE[:16], 104),
}


def measured(product: str, *, count: Count | None = None) -> Measurement:
    uid, version, port = IDENTITIES[product]
    contexts = (uids.VERIFICATION, uids.STUDY_ROOT_FIND, uids.STUDY_ROOT_MOVE)
    accepted = Accepted(contexts, 16384, uid, version)
    attempt = Attempt("tcp", "ANY-SCP", "LEADAPRON", accepted)
    counted = count or Count(1200, 1503, 48211, True, "exact")
    return Measurement("192.0.2.7", port, "count", (attempt,), OBSERVED, 1.0, Load(1, 1, 2), Echo(0), counted)


def exposure(measurement: Measurement, **changes: object) -> Exposure:
    judged = record(measurement)
    exposed = judged.exposed
    made = Exposure(
        id=1,
        address=judged.address,
        port=judged.port,
        transport="tcp",
        service="dicom",
        campaign=None,
        state="open",
        verdict=judged.verdict,
        severity=judged.findings[0].severity,
        first_seen="2026-09-01T00:00:00Z",
        opened_at="2026-09-01T00:00:00Z",
        last_open="2026-11-21T00:00:00Z",
        last_answer="2026-11-21T00:00:00Z",
        closed_at=None,
        proofs=0,
        episodes=1,
        sighting_id=1,
        studies=None if exposed is None else exposed.studies,
        images=None if exposed is None else exposed.images,
        patients=None if exposed is None else exposed.patients,
        complete=None if exposed is None else exposed.complete,
        product=judged.software and judged.software.product,
        version=judged.software and judged.software.version,
        certificate=None,
        marks=Marks(),
        door_of=None,
        moved_to=None,
        moved_sure=None,
        country="DE",
        asn=None,
        operator=None,
    )
    return msgspec.structs.replace(made, **changes)


def about(which: str, language: str, *, level: int = 0, code: str = "DE", **changes: object) -> Facts:
    measurement = measured(which)
    found = country(code)
    assert found is not None
    return facts(
        exposure(measurement, **changes),
        measurement,
        US,
        case_id=12,
        token="0a1b2c3d4e5f6071",
        level=level,
        framing="technical",
        language=language,
        organisation="Klinik am See",
        person="Ada Beispiel",
        country=name(code, language),
        duty_country=name(code, language),
        duty=found.duty and found.duty.name(language),
        duty_sentence=found.duty and found.duty.sentence(language),
        notices=2,
        first_notice="2026-10-01T00:00:00Z",
    )


ALL = [("first", 0), ("reminder", 0), ("escalation", 1), ("escalation", 2), ("escalation", 3), ("thanks", 0)]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("purpose", "level"), ALL)
def test_every_notice_names_what_it_must(language: str, purpose: str, level: int) -> None:
    for product in IDENTITIES:
        said = about(product, language, level=level)
        subject, body = words.text(purpose, said, language, "DE")
        assert said.endpoint in subject and said.address in body
        for must in (US.page, US.reply_to, US.opt_out, US.organisation, "LA-12"):
            assert must in body, (product, must)
        if purpose != "thanks":
            separator = {"en": ",", "fr": "\u202f"}.get(language, ".")
            for number in ("1503", "48211", "1200"):
                assert f"{number[:-3]}{separator}{number[-3:]}" in body, (product, number)
            assert str(said.duty) in body and str(said.duty_sentence) in body
            for line in said.commands:
                assert f"    {line}\n" in body
            assert "2026" in body
        assert ("Klinik am See" in body) == (level != 1 and purpose in ("first", "escalation"))
        if purpose in ("first", "reminder"):
            assert ("5. " in body) and f" {said.port}" in body
            steps = {"orthanc": "DicomAlwaysAllow…", "dcmtk": "HostTable", "dcm4chee": "Accepted Calling AE Title"}
            steps |= {"conquest": "/cgi-bin/dgate", "clearcanvas": "Accept Any Device", "osirix": "C-FIND"}
            assert said.product == (None if product == GENERIC else product)
            assert steps.get(product, "VPN") in body
            assert (said.appendix is None) == (product == GENERIC)
            assert "(see " not in (said.appendix or ""), "of what is not in it"
        shown(subject, body)


def test_a_likelier_product_is_named_with_its_steps() -> None:
    """A toolkit says nothing of the product around it; on Orthanc's port it is most likely Orthanc."""
    named = {which: (said.product, said.software) for which in IDENTITIES for said in [about(which, "en")]}
    assert named["orthanc"] == ("orthanc", "DCMTK 3.6.7, Orthanc?")
    assert named["dcmtk"] == ("dcmtk", "DCMTK 3.6.7")
    assert not any(
        "?" in (software or "") for which, (_, software) in named.items() if which not in ("orthanc", GENERIC)
    )


def shown(subject: str, body: str) -> None:
    """Nothing in it but what can be seen, in bounds, and nothing a scanner's reader could use against others."""
    assert "\n" not in subject and len(subject) <= 150
    assert len(body) <= LONGEST
    for text in (subject, body):
        for character in text:
            assert character.isprintable() or character in "\n\u202f\u00a0", hex(ord(character))
    assert not re.search(r"\{\{|\{%|<script|\n\n\n|None|undefined|LEADAPRON|ANY-SCP|1\.2\.840\.10008", body)
    mail = wrapped(body)
    assert mail.count("\n\n\n") == 0
    assert all(
        len(line) <= 78
        for line in mail.split("\n")
        if not line.startswith("    ") and " " in line.strip("-0123456789. ")
    )


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("purpose", "level"), ALL)
def test_whatever_a_server_calls_itself(language: str, purpose: str, level: int) -> None:
    said = about(
        GENERIC, language, level=level, product=HOSTILE, version=HOSTILE, operator=HOSTILE, certificate=HOSTILE
    )
    assert said.software is not None and len(said.software) <= 60
    subject, body = words.text(purpose, said, language, "DE")
    for text in (subject, body):
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069\u2028\u2029]", text)
    assert "\nBcc:" not in body and "REVERSED\u2028" not in body and "x" * 61 not in body
    if level or purpose != "first":
        return
    hostile = msgspec.structs.replace(said, organisation="Klinik", software="<b>{{ x }}</b>")
    assert "<b>{{ x }}</b>" in words.text(purpose, hostile, language, "DE")[1]  # text stays text: nothing runs


@pytest.mark.parametrize("language", LANGUAGES)
def test_servers_that_would_not_say(language: str) -> None:
    nothing = {"studies": None, "images": None, "patients": None, "complete": None, "verdict": "open", "severity": None}
    for purpose, level in ALL:
        said = about(GENERIC, language, level=level, product=None, version=None, **nothing)
        bare = msgspec.structs.replace(
            said,
            country=None,
            duty_country=None,
            duty=None,
            duty_sentence=None,
            organisation=None,
            person=None,
            notices=0,
            first_notice=None,
        )
        shown(*words.text(purpose, bare, language, None))


def test_bounds_are_said() -> None:
    for method, complete, word in (
        ("exact", True, None),
        ("lower-bound", False, "at least "),
        ("estimate", False, "about "),
    ):
        measurement = measured("dcmtk", count=Count(10, 20, 30, complete, method))
        said = msgspec.structs.replace(about("dcmtk", "en"), bound=_bound(measurement))
        body = words.text("first", said, "en", None)[1]
        assert (f"{word or 'Examinations: '}1,503 studies") in body


def _bound(measurement: Measurement) -> str:
    said = facts(
        exposure(measurement),
        measurement,
        US,
        case_id=1,
        token="0a1b2c3d4e5f6071",
        level=0,
        framing="duty",
        language="en",
        organisation=None,
        person=None,
        country=None,
        duty_country=None,
        duty=None,
        duty_sentence=None,
        notices=0,
        first_notice=None,
    )
    return said.bound


def test_the_duty_comes_first_where_it_is_framed_so() -> None:
    said = about("orthanc", "en")
    technical = words.text("first", said, "en", None)
    duty = words.text("first", msgspec.structs.replace(said, framing="duty"), "en", None)
    law = str(said.duty)
    assert duty[1].index(law) < duty[1].index("What stands open")
    assert technical[1].index(law) > technical[1].index("How to check it")
    assert technical[0] != duty[0]


def test_languages_have_the_same_sentences() -> None:
    folder = resources.files("leadapron.watch.reach.notices").joinpath("templates", "languages")
    macros = {
        language: sorted(
            re.findall(r"\{% macro (\w+\([^)]*\)) %\}", folder.joinpath(f"{language}.txt").read_text("utf-8"))
        )
        for language in LANGUAGES
    }
    assert len({tuple(one) for one in macros.values()}) == 1
    assert len(macros["en"]) > 30


def test_every_product_with_a_remedy_has_steps_in_every_language() -> None:
    folder = resources.files("leadapron.watch.reach.notices").joinpath("templates", "languages")
    for language in LANGUAGES:
        text = folder.joinpath(f"{language}.txt").read_text("utf-8")
        assert set(re.findall(r'f\.product == "(\w+)"', text)) == set(files()) - {GENERIC}


def test_translated_steps_name_the_same_settings_in_the_same_places() -> None:
    folder = resources.files("leadapron.watch.measure.judge").joinpath("remedies")
    spans = (r"`[^`]+`", r"(?<!\w)\*[^*\n]+\*(?!\w)", r"^<\w+>$")
    for product in set(files()) - {GENERIC}:
        section = tomllib.loads(folder.joinpath(f"{product}.toml").read_text("utf-8"))["section"]
        elsewhere = {f"*{other['title']}*" for other in section.values()}  # sections that a notice doesn't have
        for language in set(LANGUAGES) - {"en"}:
            said = _translated(language)[product]
            assert said.title != section["access"]["title"] and len(said.steps) == len(section["access"]["steps"])
            for english, step in zip(section["access"]["steps"], said.steps, strict=True):
                for span in spans:
                    wanted = set(re.findall(span, english, re.M)) - elsewhere
                    assert set(re.findall(span, step, re.M)) == wanted, (product, language, step)
                assert step != english


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_english_is_left_in_another_language(language: str) -> None:
    """Sentences, not the names of settings and what servers answer, which are English everywhere."""
    common = re.compile(r"\b(the|and|which|your|you|with|from|that|this|who|there|were)\b", re.I)
    for product in IDENTITIES:
        for purpose, level in ALL:
            subject, body = words.text(purpose, about(product, language, level=level), language, "DE")
            kept = "\n".join(line for line in body.split("\n") if not line.startswith("    "))
            kept = kept.replace("Publish my DICOM node over the network through the Bonjour protocol", "")
            found = common.findall(f"{subject}\n{kept}")
            assert bool(found) == (language == "en"), (product, purpose, found)


def test_what_is_missing_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        words._environment("en").from_string("{{ f.nonsense }}").render(f=about("dcmtk", "en"))


@pytest.mark.parametrize("code", known())
def test_every_country_can_be_written_to(code: str) -> None:
    for language in LANGUAGES:
        shown(*words.text("first", about("dcmtk", language, code=code), language, code))


def test_the_commands_exist() -> None:
    for line in commands(exposure(measured("orthanc"))):
        program, command, *arguments = shlex.split(line)
        assert program == "leadapron"
        found = root.get_command(root.make_context("leadapron", ["scan"], resilient_parsing=True), command)
        assert found is not None
        if isinstance(found, click.Group):
            inner = found.commands[arguments.pop(0)]
            inner.make_context(str(inner.name), arguments)
        else:
            found.make_context(command, arguments)


def test_purposes_have_a_skeleton() -> None:
    assert {words.kind(purpose, level) for purpose in PURPOSES for level in range(4)} == set(words.KINDS)


@given(st.text(max_size=400))
def test_any_text_is_laid_out_and_stays_in_bounds(text: str) -> None:
    kept = tidy(text)
    assert tidy(kept) == kept
    list(blocks(kept))
    mail = wrapped(kept)
    assert all(character.isprintable() or character in "\n\u00a0\u202f" for character in mail)
    assert "\n\n\n" not in mail.strip("\n")
