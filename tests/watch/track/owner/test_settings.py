"""The section [lookups], and files in MaxMind's format."""

from __future__ import annotations

from pathlib import Path

import pytest

from leadapron.kernel.errors import UsageError
from leadapron.watch.track.owner.asking import trust
from leadapron.watch.track.owner.location import Locations
from leadapron.watch.track.owner.settings import Lookups, load_lookups, special
from owners import rows

DOCS = Path(__file__).parents[4] / "docs" / "owners.md"


def loaded(tmp_path: Path, text: str, **environment: str) -> Lookups:
    file = tmp_path / "leadapron.toml"
    file.write_text(f"[lookups]\n{text}\n")
    return load_lookups(file, environment)


def test_the_defaults_ask_no_web_server(tmp_path: Path) -> None:
    assert loaded(tmp_path, "") == Lookups()
    assert (Lookups().dns, Lookups().rdap, Lookups().security_txt, Lookups().inside) == (True, True, False, False)


def test_the_environment_wins(tmp_path: Path) -> None:
    found = loaded(tmp_path, "rdap_rate = 3", LEADAPRON_LOOKUPS__RDAP_RATE="0.5", LEADAPRON_LOOKUPS__DNS="false")
    assert (found.rdap_rate, found.dns) == (0.5, False)


def test_every_key_is_on_the_page() -> None:
    text = DOCS.read_text("utf-8")
    for key in Lookups.__struct_fields__:
        assert f"\n{key} = " in text, key


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resolve = '1.1.1.1'", "closest one is lookups.resolver"),
        ("resolver = 'dns.example.net'", "must be an address"),
        ("resolver = '1.1.1.1:0'", "HOST:PORT"),
        ("rdap_base = 'http://rdap.example.net/'", "https://"),
        ("rdap_base = 'https://u:p@rdap.example.net/'", "URL like"),
        ("rdap_base = 'ftp://x/'", "URL like"),
        ("rdap_base = 'https://[x/'", "URL like"),
        ("rdap_rate = 0", "from 0.01"),
        ("dns_rate = nan", "from 0.01"),
        ("http_timeout_s = 1000", "from 0.1 to 120"),
        ("cache_days = -1", "from 0 to 3650"),
        ("dns = false\nsecurity_txt = true", "security_txt needs dns"),
        ("inside = true", "needs a resolver of your own"),
        ("inside = true\nresolver = '9.9.9.9'", "needs a resolver of your own"),
        ("inside = true\nresolver = '10.0.0.1'", "needs an RDAP server"),
    ],
)
def test_what_cannot_be_meant(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        loaded(tmp_path, text)


def test_an_authority_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    for name in ("ca.pem", "gone.pem"):
        with pytest.raises(UsageError, match="ca:"):
            trust(str(tmp_path / name))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.1.1",
        "100.64.0.1",
        "169.254.1.1",
        "::1",
        "fd00::1",
        "fe80::1",
        "198.51.100.1",
        "2001:db8::1",
        "x",
    ],
)
def test_special_addresses(address: str) -> None:
    assert special(address)


@pytest.mark.parametrize("address", ["5.145.140.7", "9.9.9.9", "2a02:8108::1"])
def test_public_addresses(address: str) -> None:
    assert special(address) is None


def test_files_of_three_publishers(tmp_path: Path) -> None:
    records = {
        "5.1.0.0/16": {
            "country": {"iso_code": "de"},
            "autonomous_system_number": 64500,
            "autonomous_system_organization": "Example\nTelecom\x1b[31m",
        },
        "5.2.0.0/16": {"country_code": "TR", "country": "Turkey", "asn": "AS64501", "as_name": "Örnek"},
        "5.3.0.0/16": {"country": "AT", "asn": "ASx", "as_name": 7},
        "5.4.0.0/16": {"country": {"iso_code": "DEU"}, "autonomous_system_number": -1},
    }
    file = rows.mmdb(tmp_path / "all.mmdb", records)
    with Locations(file, file) as locations:
        found = {
            address: {one.kind: one.value for one in locations.of(address)}
            for address in ("5.1.1.1", "5.2.1.1", "5.3.1.1", "5.4.1.1", "5.5.1.1", "2a02::1")
        }
        source = locations.of("5.1.1.1")[0].source
    assert found["5.1.1.1"] == {"country": "DE", "asn": "AS64500", "operator": "Example Telecom[31m"}
    assert found["5.2.1.1"] == {"country": "TR", "asn": "AS64501", "operator": "Örnek"}
    assert found["5.3.1.1"] == {"country": "AT"}
    assert found["5.4.1.1"] == found["5.5.1.1"] == found["2a02::1"] == {}
    assert source.startswith("MMDB file Test-Country of 20")


def test_one_file_alone_serves_one_key(tmp_path: Path) -> None:
    file = rows.mmdb(tmp_path / "c.mmdb", {"5.1.0.0/16": {"country": {"iso_code": "DE"}, "asn": 7}})
    with Locations(file, None) as locations:
        assert [one.kind for one in locations.of("5.1.1.1")] == ["country"]


def test_a_file_that_is_cut_is_named(tmp_path: Path) -> None:
    whole = Path(rows.mmdb(tmp_path / "c.mmdb", {"5.1.0.0/16": {"country": {"iso_code": "DE"}}}))
    for octets in (0, 10, len(whole.read_bytes()) // 2):
        cut = tmp_path / f"cut-{octets}.mmdb"
        cut.write_bytes(whole.read_bytes()[:octets])
        with pytest.raises(UsageError, match="MaxMind's format"):
            Locations(str(cut), None).close()
