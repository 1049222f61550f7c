"""The catalogue of findings and remedies hangs together, and its page does not fall behind."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from leadapron.watch.measure.judge.catalogue import document
from leadapron.watch.measure.judge.findings import kind, kinds
from leadapron.watch.measure.judge.findings.outdated_software import advisories
from leadapron.watch.measure.judge.remedies import files, product_of, remedy
from leadapron.watch.measure.judge.remedies.data import sections, sources_of
from leadapron.watch.measure.judge.text import remedies_for
from leadapron.watch.measure.software import products

PAGE = Path(__file__).parents[4] / "docs" / "findings.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == document(), (
        "docs/findings.md fell behind: python -m leadapron.watch.measure.judge.catalogue docs/findings.md"
    )


def test_the_catalogue_is_whole() -> None:
    assert len(kinds()) >= 16
    for one in kinds():
        assert one.title and one.why and one.severity_rule and one.references, one.id
        assert one.remedy in sections(), one.id
        assert one.verdicts, one.id
        assert all(re.match(r"(45 CFR 16|DICOM PS3|NIST SP|CVE-)", reference.cite) for reference in one.references)
    with pytest.raises(KeyError):
        kind("no-such-finding")


def test_every_file_answers_every_section() -> None:
    assert set(files()) == {"orthanc", "dcmtk", "dcm4chee", "conquest", "osirix", "clearcanvas", "generic"}
    for file in files():
        assert product_of(file) and sources_of(file)
        for section in sections():
            found = remedy(file, section)
            assert found.title and found.steps and found.tried
            for step in found.steps:
                assert not re.search(r"<\w+>", re.sub(r"```.*?```", "", step, flags=re.DOTALL)), (file, section, step)
                outside = re.sub(r"```.*?```|`[^`]*`", "", step, flags=re.DOTALL)
                assert not re.search(r"\{\w+\}", outside), (file, section, step)
    with pytest.raises(KeyError):
        remedy("orthanc", "no-such-section")


def test_every_part_is_shown_and_fills_its_places() -> None:
    for file in files():
        for section in sections():
            found = remedy(file, section)
            shown = "\n".join(found.steps)
            for part in found.parts.values():
                assert part.rendered().splitlines()[1].strip() in shown
                assert not re.search(r"\{[a-z]+\}", str(part.filled(part.example)))
                assert part.kind == "command" or part.file


def test_software_points_at_files_that_exist() -> None:
    assert {product.remedy for product in products()} - {None} == set(files()) - {"generic"}


def test_what_is_urgent_begins_with_closing_the_port() -> None:
    assert remedies_for("access", ("orthanc", "generic"))[0].title == "Today, before anything else"
    assert [one.product for one in remedies_for("access", ("orthanc", "dcmtk", "generic"))][1:] == [
        product_of("orthanc"),
        product_of("dcmtk"),
    ]
    assert remedies_for("certificate", ("orthanc", "generic"))[0].product == product_of("generic")


def test_advisories_name_their_sources() -> None:
    for one in advisories():
        assert one.source and one.what and all(re.fullmatch(r"CVE-\d{4}-\d{4,}", cve) for cve in one.cves)
        assert re.fullmatch(r"\d+(\.\d+)+", one.fixed_in)
