"""The HTML report as text: self-contained, escaped, complete or honest about it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from html.parser import HTMLParser

import pytest
from msgspec.structs import replace

from leadapron.watch.measure.judge import record as judged
from leadapron.watch.measure.model import Accepted, Attempt, Certificate, Measurement, Tls
from leadapron.watch.measure.record import EndpointRecord, ExposedTotal, Software, Summary
from leadapron.watch.report import markdown
from leadapron.watch.report.html import render
from leadapron.watch.report.model import Facts, Report, collect
from sightings import about, archive, at_least, exact, refusing, web

FACTS = Facts(
    number=3,
    state="done",
    targets=("127.1.0.0/24",),
    started_at="2026-11-21T20:00:00Z",
    finished_at="2026-11-21T20:00:12Z",
    authorised_by="Dr A. Person",
    scope={"contact": "security@hospital.example", "reason": None},
    depth="count",
)
COUNTS = {"exposed": 3, "open": 1, "guarded": 1, "decoy": 0, "other": 1, "silent": 0, "closed": 1260, "failed": 0}
SUMMARY = Summary(256, COUNTS, 3, ExposedTotal(3100, 4203, 120311, False), 12.3)
MEASURED = (
    archive(1, exact(1503)),
    archive(2, at_least(120311), name="ORTHANC_1.12.1", uid="1.2.826.0.1.3680043.8.641"),
    archive(3, about(1230000)),
    archive(4),
    refusing(5),
    web(6),
)


class Page(HTMLParser):
    """A page taken apart. ``text`` is what a reader sees, style and script left out."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.blocks: dict[str, list[str]] = {"style": [], "script": []}
        self._in: str | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in = tag if tag in self.blocks else None

    def handle_endtag(self, tag: str) -> None:
        self._in = None

    def handle_data(self, data: str) -> None:
        if self._in is not None:
            self.blocks[self._in].append(data)
        else:
            self.text += data

    @property
    def words(self) -> str:
        return " ".join(self.text.split())

    def attributes(self, name: str) -> list[str]:
        return [value for _, attrs in self.tags if (value := attrs.get(name)) is not None]


def report(measured: tuple[Measurement, ...] = MEASURED, *, keep: int = 5000, facts: Facts = FACTS) -> Report:
    return collect(facts, ((m, judged(m)) for m in measured), lambda: SUMMARY, keep=keep)


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render(report()))


def test_it_asks_for_nothing(page: Page) -> None:
    assert not page.attributes("src")
    assert not page.attributes("srcset")
    assert not page.attributes("action")
    for address in page.attributes("href"):
        assert address.startswith(("#", "data:image/svg+xml,")), address
    style = page.blocks["style"][0]
    assert "url(" not in style and "@import" not in style
    assert {tag for tag, _ in page.tags}.isdisjoint(
        {"iframe", "img", "object", "embed", "form", "base", "video", "audio"}
    )


def test_the_policy_allows_exactly_what_is_in_the_file(page: Page) -> None:
    policy = next(a["content"] for t, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none';")
    for name, directive in (("style", "style-src"), ("script", "script-src")):
        (block,) = page.blocks[name]
        digest = base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert not page.attributes("style") and not page.attributes("onclick")
    head = [tag for tag, attrs in page.tags]
    assert head.index("meta") < head.index("style"), "a policy only holds for what comes after it"


def test_it_says_what_when_and_on_whose_word(page: Page) -> None:
    for said in (
        "127.1.0.0/24 (256 addresses), depth count",
        "2026-11-21 20:00 UTC, in 12 s",
        "authorised by Dr A. Person; contact security@hospital.example",
        "number 3",
    ):
        assert said in page.words
    assert "reason" not in page.words.split("Key figures")[0], "what is not known is not shown"


def test_key_figures_are_those_of_the_summary_and_marked_where_incomplete(page: Page) -> None:
    for said in ("3 endpoints exposed", "≈3,100 patients open", "≈4,203 studies open", "≈120,311 images open"):
        assert said in page.words, said
    assert "About 3,100 patients" in page.words, "an estimate is among them"
    without = Page(render(report(MEASURED[:2])))
    assert "≥3,100 patients open" in without.words and "At least 3,100 patients" in without.words
    assert "3 archives behind them" in page.words


def test_it_states_that_nothing_of_a_patient_was_kept(page: Page) -> None:
    assert "No image was asked for, and nothing of any patient was kept" in page.words
    assert "No patient datum was kept." in page.words


def test_every_endpoint_is_there_with_findings_evidence_steps_and_load(page: Page) -> None:
    for number in range(1, 7):
        assert f"127.0.0.{number}:" in page.words
    for said in (
        "Anybody can list the patients and their studies",
        "45 CFR 164.312(a)(1)",
        "Let Orthanc answer only the devices that you register",
        '"DicomAlwaysAllowFind": false',
        "What this device was asked 2 connections, 2 associations and 5 requests in 1.8 s",
        "rejected for good by the service user: called AE title not recognized",
        "The server gives at most 500 answers at once.",
        "95 % interval: 1,107,000 to 1,353,000 studies",
        "names and birth dates; not seen: national identifiers",
    ):
        assert said in page.words, said


def test_links_in_the_page_lead_somewhere_and_names_are_given_once(page: Page) -> None:
    names = page.attributes("id")
    assert len(names) == len(set(names))
    wanted = {address[1:] for address in page.attributes("href") if address.startswith("#")}
    wanted |= {name for value in page.attributes("aria-labelledby") for name in value.split()}
    wanted |= set(page.attributes("for"))
    assert wanted <= set(names)


def test_tables_and_chart_are_described(page: Page) -> None:
    for tag, attrs in page.tags:
        if tag == "th":
            assert attrs.get("scope") in ("row", "col")
        if tag == "svg" and attrs.get("role") != "img":
            assert "aria-hidden" in attrs or attrs.get("overflow") or "width" not in attrs
    tags = Counter(tag for tag, _ in page.tags)
    assert tags["title"] >= 2 and tags["desc"] == 1
    assert "The chart as a table" in page.words


# ---- hostile strings -------------------------------------------------------------------------------------------------

PAYLOADS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style><style>*{display:none}</style>",
    "{{ 7*7 }}{% raw %}",
    "' onmouseover='alert(1)",
    "]]><!--",
    "javascript:alert(1)",
    "&lt;b&gt;",
    "\x1b[2J\u202eevil\x00",
)


def hostile(payload: str) -> tuple[Measurement, EndpointRecord]:
    certificate = Certificate("ab" * 32, payload, payload, (payload,), "2026-01-01T00:00:00Z", payload, True)
    accept = Accepted(("1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.2.2.1"), 16384, payload, payload)
    attempt = Attempt("tls", payload, payload, accept, Tls(payload, payload, certificate))
    measurement = replace(MEASURED[0], attempts=(attempt,), count=replace(exact(7), note=payload))
    record = judged(measurement)
    return measurement, replace(
        record, software=Software(payload, payload, payload, payload), reason=payload, service=payload, address=payload
    )


def page_of(payload: str) -> Page:
    facts = replace(FACTS, targets=(payload,) * 9, authorised_by=payload, scope={"contact": payload})
    return Page(render(collect(facts, [hostile(payload)], lambda: SUMMARY)))


@pytest.mark.parametrize("payload", PAYLOADS)
def test_what_a_stranger_calls_itself_makes_no_markup(payload: str) -> None:
    attacked, plain = page_of(payload), page_of("plain")
    assert [tag for tag, _ in attacked.tags] == [tag for tag, _ in plain.tags]
    # An address with a colon in it is one of IPv6 and has a class of its own: all else is the same.
    known = [set(attrs) - {"class"} for _, attrs in plain.tags]
    assert [set(attrs) - {"class"} for _, attrs in attacked.tags] == known
    assert len(attacked.blocks["script"]) == 1
    shown = "".join(c if c.isprintable() else "\ufffd" for c in payload)
    assert attacked.text.count(shown) >= 10, "shown as it is, all the same"
    assert "\x1b" not in attacked.text and "\u202e" not in attacked.text


def test_remedies_are_escaped_too() -> None:
    assert markdown.inline("write `<b>` & *not* <i>") == "write <code>&lt;b&gt;</code> &amp; <em>not</em> &lt;i&gt;"


@pytest.mark.parametrize(
    ("source", "html"),
    [
        ("one\nline", "<p>one line</p>"),
        ("one\n\ntwo", "<p>one</p><p>two</p>"),
        (
            'set:\n```json\n{\n  "a": 1\n}\n```\nthen go',
            "<p>set:</p><pre><code>{\n  &#34;a&#34;: 1\n}</code></pre><p>then go</p>",
        ),
        ("```\nnever closed", "<pre><code>never closed</code></pre>"),
        ("5 * 3 * 2 and a lone ` tick", "<p>5 * 3 * 2 and a lone ` tick</p>"),
        ("", ""),
    ],
)
def test_the_markdown_of_a_step(source: str, html: str) -> None:
    assert markdown.step(source) == html


# ---- what is left out, and other scans -------------------------------------------------------------------------------


def test_what_is_left_out_is_said() -> None:
    measured = (*(archive(n, exact(n + 1)) for n in range(30)), *(web(n) for n in range(30, 70)))
    page = Page(render(report(measured, keep=50), detailed=20))
    rows = [attrs for tag, attrs in page.tags if tag == "tr"]
    assert "20 endpoints are not listed here" in page.words
    assert "10 more servers have details that are not told here" in page.words
    assert page.words.count("leadapron report 3 --format") == 2
    assert len([a for t, a in page.tags if t == "details" and a.get("class") == "server"]) == 20
    assert len(rows) == 1 + 20 + 1 + report(measured).findings.__len__() + 1 + 50  # chart, findings, endpoints


@pytest.mark.parametrize(
    ("state", "said"),
    [("stopped", "stopped before its end"), ("failed", "failed before its end"), ("running", "not finished")],
)
def test_a_scan_that_did_not_end_says_so(state: str, said: str) -> None:
    assert said in Page(render(report(facts=replace(FACTS, state=state)))).words


def test_a_scan_that_was_not_saved_has_no_number() -> None:
    page = Page(render(report(facts=replace(FACTS, number=None, authorised_by=None, scope=None))))
    assert "this machine only (loopback)" in page.words
    assert not re.search(r"\bscan None\b|number None", page.words)


def test_an_empty_scan_is_a_page_too() -> None:
    nothing = Summary(4, {"closed": 20}, 0, ExposedTotal(0, 0, 0, True), 0.4)
    page = Page(render(collect(FACTS, [], lambda: nothing)))
    assert "No imaging server was found that talks to strangers." in page.words
    assert not page.attributes("data-v")
    assert "What to do next" in page.words


def test_one_server_is_told_of_in_the_singular() -> None:
    counts = {"exposed": 1}
    one = Summary(1, counts, 1, ExposedTotal(1, 1, 1, True), 0.4)
    m = archive(1, exact(1, 1, 1))
    page = Page(render(collect(FACTS, [(m, judged(m))], lambda: one)))
    for said in ("(1 address)", "1 endpoint exposed", "1 archive behind it", "1 study open", "Close this one now"):
        assert said in page.words, said


def test_two_renderings_are_the_same() -> None:
    assert render(report()) == render(report(tuple(reversed(MEASURED))))
