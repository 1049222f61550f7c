"""Population files: what is read, and what is said about what can't be."""

from __future__ import annotations

from pathlib import Path

import pytest

from leadapron.kernel.errors import UsageError
from leadapron.lab.personas import personas
from leadapron.lab.population import load, residents, shipped

ONE = """
name = "mine"
[[endpoint]]
address = "{address}"
port = {port}
persona = "{persona}"
{more}
"""


def write(
    tmp_path: Path, *, address: str = "127.9.0.1", port: object = 104, persona: str = "dcmtk", more: str = ""
) -> str:
    path = tmp_path / "mine.toml"
    path.write_text(ONE.format(address=address, port=port, persona=persona, more=more))
    return str(path)


def test_what_comes_with_the_package() -> None:
    assert set(shipped()) == {"autumn-2019", "bench-verify", "clinic-street", "hard-cases", "ten-thousand-others"}
    assert all(shipped().values())
    sizes = {name: len(list(residents(load(name)))) for name in shipped()}
    assert sizes["bench-verify"] == sizes["ten-thousand-others"] == 10_000
    assert 40 <= sizes["clinic-street"] <= 60


def test_every_persona_is_among_the_hard_cases() -> None:
    assert {resident.persona.name for resident in residents(load("hard-cases"))} == set(personas())


def test_no_endpoint_is_given_twice() -> None:
    for name in shipped():
        doors = [(r.address, r.port) for r in residents(load(name))]
        spare = [(r.address, r.unprivileged_port) for r in residents(load(name)) if r.unprivileged_port]
        assert len(set(doors)) == len(doors)
        assert len(set(doors) | set(spare)) == len(doors) + len(spare)


def test_privileged_ports_have_a_way_out() -> None:
    for name in shipped():
        assert all(r.port >= 1024 or r.unprivileged_port for r in residents(load(name)))


def test_the_ten_thousand_are_no_imaging_servers() -> None:
    for resident in residents(load("ten-thousand-others")):
        assert resident.door is None and set(resident.persona.verdicts) <= {"other", "silent", "closed"}


def test_the_street_is_like_the_world() -> None:
    """Three censuses found 26 to 31 % of the servers that speak DICOM open; volume has a heavy tail."""
    dicom = [r for r in residents(load("clinic-street")) if r.door is not None]
    exposed = {r.address: r for r in dicom if "exposed" in r.persona.verdicts}
    assert 0.26 <= len(exposed) / len({r.address for r in dicom}) <= 0.32
    volumes = sorted(r.plan.studies for r in exposed.values() if r.plan)
    assert volumes[-1] > 0.5 * sum(volumes)
    assert 1_000_000 < sum(volumes) < 2_500_000
    assert any(r.files == "pydicom" for r in dicom)


def test_a_block_is_unrolled_and_each_address_has_its_own_archive(tmp_path: Path) -> None:
    path = write(tmp_path, address="127.9.0.0/24", port="[104, 4242]", more="count = 3\narchive = { studies = 10 }")
    found = list(residents(load(path)))
    assert [(r.address, r.port) for r in found] == [(f"127.9.0.{n}", port) for n in (1, 2, 3) for port in (104, 4242)]
    assert len({r.plan for r in found}) == 3
    assert found[0].plan == found[1].plan, "two ports of one host are two doors to one archive"


def test_a_shared_archive(tmp_path: Path) -> None:
    path = write(tmp_path, address="127.9.0.0/24", more="count = 3\narchive = { studies = 10, shared = true }")
    assert len({r.plan for r in residents(load(path))}) == 1


def test_options_change_door_and_answers(tmp_path: Path) -> None:
    path = write(tmp_path, more='options = { limit = 7, at_limit = "cancel", called = ["A", "B"], max_pdu = 4096 }')
    (resident,) = residents(load(path))
    assert (resident.answers.limit, resident.answers.at_limit) == (7, "cancel")
    assert resident.door and (resident.door.called, resident.door.max_pdu) == (("A", "B"), 4096)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"address": "10.0.0.1"}, "loopback"),
        ({"address": "0.0.0.0"}, "loopback"),
        ({"address": "192.168.0.0/24"}, "loopback"),
        ({"address": "127.0.0.0/7"}, "no address or network"),
        ({"address": "somewhere"}, "no address or network"),
        ({"address": "127.9.0.0/30", "more": "count = 9"}, "has 2 addresses, count is 9"),
        ({"persona": "nobody"}, "no persona is called 'nobody'"),
        ({"port": '"http"'}, "endpoint[0].port"),
        ({"port": 70000}, "port"),
        ({"more": "colour = 3"}, "colour"),
        ({"more": "options = { colour = 3 }"}, "no option 'colour'"),
        ({"more": 'options = { limit = "many" }'}, "limit"),
        ({"persona": "ssh", "more": "options = { called = [] }"}, "no DICOM server"),
        ({"more": "archive = { studies = 0 }"}, "at least one study"),
        ({"more": "archive = { studies = 5, undated = 6 }"}, "odd dates"),
        ({"more": "archive = { first = 2020-01-01, last = 2019-01-01 }"}, "before its first"),
        ({"more": 'archive = { script = "runes" }'}, "script"),
        ({"more": 'archive = { files = "mine" }'}, "files"),
        ({"more": "archive = 3"}, "archive"),
        ({"more": "= ="}, "mine.toml"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, change: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError) as error:
        list(residents(load(write(tmp_path, **change))))  # type: ignore[arg-type]
    assert said in str(error.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        load(tmp_path / "none.toml")
    with pytest.raises(UsageError, match="clinic-street"):
        load("none")
