"""The autumn of 2019: the published figures are met, and the waves are what they are said to be."""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_address, ip_network
from pathlib import Path

import maxminddb
import pytest

from leadapron.kernel.errors import UsageError
from leadapron.lab.history import autumn
from leadapron.lab.history import figures as f
from leadapron.lab.history.census import servers
from leadapron.lab.history.mmdb import mmdb
from leadapron.lab.population import load, residents, shipped


@pytest.fixture(scope="module")
def held() -> list[dict[int, tuple[int, int]]]:
    """Studies and images by server, for each wave."""
    found: list[dict[int, tuple[int, int]]] = []
    for wave in (1, 2):
        volumes = ((one.number, autumn.held(one, wave, 1.0)) for one in servers())
        found.append({number: volume for number, volume in volumes if volume is not None})
    return found


def test_servers_as_published() -> None:
    roles = Counter(one.role for one in servers())
    assert roles["stays"] + roles["goes"] == f.OPEN == 590
    assert roles["goes"] == 172 and roles["comes"] == 129
    assert roles["stays"] + roles["goes"] + roles["guarded"] == f.SERVERS == 2300
    assert len({one.country for one in servers() if one.volumes[0]}) == 52


@pytest.mark.parametrize("wave", [1, 2])
def test_volumes_as_published(held: list[dict[int, tuple[int, int]]], wave: int) -> None:
    volumes = held[wave - 1]
    assert len(volumes) == (590, 547)[wave - 1]
    assert sum(studies for studies, _ in volumes.values()) == f.STUDIES[wave - 1]
    images = sum(images for _, images in volumes.values())
    assert images == pytest.approx(f.IMAGES[wave - 1], rel=0.0001)
    assert 30 * 0.95 < images / f.STUDIES[wave - 1] < 36


def test_who_held_them(held: list[dict[int, tuple[int, int]]]) -> None:
    volumes, known = held[1], servers()
    by_country: Counter[str] = Counter()
    for number, (_, images) in volumes.items():
        by_country[known[number].country] += images
    whole = by_country.total()
    assert by_country["US"] / whole == pytest.approx(0.5, abs=0.005)
    assert sum(images for _, images in by_country.most_common(5)) / whole > 0.75
    largest = sorted((images for _, images in volumes.values()), reverse=True)[:10]
    assert sum(largest) / whole == pytest.approx(0.2, abs=0.002)
    turkish = [volume for number, volume in volumes.items() if known[number].country == "TR"]
    assert len(turkish) == 36 and sum(studies for studies, _ in turkish) == f.TURKEY_STUDIES
    assert sum(images for _, images in turkish) == pytest.approx(f.TURKEY_IMAGES, rel=0.001)
    assert max(studies for studies, _ in volumes.values()) == 1_230_000


@pytest.mark.parametrize("scale", [1.0, 0.01, 0.001])
def test_what_changed_between_the_waves(scale: float) -> None:
    kinds = Counter(change.kind for change in autumn.changes(scale))
    moved = len(f.MOVED)
    assert kinds["opened"] == 129 - moved and kinds["closed"] == 172 - moved and kinds["moved"] == moved
    assert kinds["grew"] + kinds["same"] == 418 and not kinds["shrank"]


def test_the_waves_are_the_changes() -> None:
    """What is opened for a wave is what the changes say of it, and who moved is recognisable."""
    first, second = (
        {(r.address, r.port): r for r in residents(autumn.population(wave, 0.001)) if r.persona.archive and r.plan}
        for wave in (1, 2)
    )
    for change in autumn.changes(0.001):
        new = second.get((change.address, change.port))
        open_now = new is not None and new.persona.verdicts == ("exposed",)
        assert open_now == (change.after is not None)
        if change.was is not None:
            old = first[change.was, change.port]
            assert new is not None and (old.address, old.port) not in second
            assert new.persona is old.persona and new.options == old.options
            assert bool(new.options.get("certificate")) == change.sure


def test_it_is_the_same_each_time() -> None:
    before = servers()
    servers.cache_clear()
    assert servers() == before


def test_every_address_is_in_its_country(tmp_path: Path) -> None:
    data = tmp_path / "lab.mmdb"
    data.write_bytes(mmdb(autumn.places(), "Lead-Apron-Lab-Country-ASN"))
    with maxminddb.open_database(data) as reader:
        assert reader.metadata().ip_version == 4
        for one in servers():
            record = reader.get(one.address)
            assert isinstance(record, dict) and record["country"] == {"iso_code": one.country}
        assert reader.get("127.1.0.5") is None and reader.get("10.0.0.1") is None
    assert all(ip_address(one.address) in ip_network("127.0.0.0/8") for one in servers())


def test_only_a_census_has_waves() -> None:
    assert "autumn-2019" in shipped()
    assert len(load("autumn-2019").endpoint) == 2300
    with pytest.raises(UsageError, match="--wave and --scale"):
        load("clinic-street", wave=2)
    for wave, scale in ((3, 1.0), (1, 0.0), (1, 1.5)):
        with pytest.raises(UsageError):
            autumn.population(wave, scale)
