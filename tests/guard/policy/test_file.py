from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.policy.policies import Table, Writer, tables
from leadapron.guard.policy.decide import load_policy, parse_policy
from leadapron.guard.policy.permission import Permission, permission
from leadapron.guard.policy.rules import PeerRules
from leadapron.kernel.errors import UsageError

PEER = '[[guard.peer]]\nname = "CT1"\nae = "CT1"\n'


def test_rules_are_what_was_written() -> None:
    policy = parse_policy(
        """
        [[guard.peer]]
        name = "WS1"
        ae = " WS1 "
        may = ["find", "dicom:retrieve", "web:query"]
        from = ["10.1.2.0/24", "10.9.0.1"]
        move_to = ["WS1", "WS2 "]
        hours = "mo-fr 07:00-20:00"
        max_results = 500
        studies_per_hour = 20
        requests_per_minute = 60
        receive = "10.1.2.3:2762"
        user = "anna"
        """
    )
    assert policy.rules("WS1") == PeerRules(
        name="WS1",
        ae="WS1",
        may=("find", "dicom:retrieve", "web:query"),
        from_=("10.1.2.0/24", "10.9.0.1"),
        move_to=("WS1", "WS2"),
        hours="mo-fr 07:00-20:00",
        max_results=500,
        studies_per_hour=20,
        requests_per_minute=60,
        receive="10.1.2.3:2762",
        user="anna",
    )
    assert policy.by_ae(" WS1  ") is policy.rules("WS1")
    assert policy.by_ae("ws1") is None
    assert policy.by_ae("") is policy.by_ae("\0") is policy.rules(None) is policy.rules("ws1") is None
    assert set(policy.peers[0].grants) == {Permission.DICOM_FIND, Permission.DICOM_RETRIEVE, Permission.WEB_QUERY}


def test_a_list_that_is_not_written_and_an_empty_one_are_different_things() -> None:
    bare, empty = (
        parse_policy(f"{PEER}{more}").rules("CT1") for more in ("", "from = []\nmodalities = []\nmay = []\n")
    )
    assert bare is not None and empty is not None
    assert (bare.from_, bare.modalities, bare.may) == (None, None, ())
    assert (empty.from_, empty.modalities, empty.may) == ((), (), ())


@pytest.mark.parametrize("text", ["", "[guard]\n", "data = 'x'\n", "[guard]\npeer = []\n", "guard = 3\n"])
def test_no_tables_no_peers(text: str) -> None:
    assert parse_policy(text).peers == ()


@pytest.mark.parametrize(
    ("more", "line", "hint"),
    [
        ('may = ["stor"]', 4, r"may: there is no operation 'stor'; the closest one is \"store\""),
        ('may = [\n  "echo",\n  "Find"]', 6, r"'Find'; the closest one is \"find\""),
        ('may = ["move"]', 4, r"may: there is no operation 'move'; it belongs to \"retrieve\""),
        ('may = ["C-GET"]', 4, r"it belongs to \"retrieve\""),
        ('may = ["dicom:query"]', 4, r"it belongs to \"find\""),
        ('may = ["web:querry"]', 4, r"closest one is \"web:query\""),
        ('may = ["dicom:*"]', 4, "no wildcards; write each operation: echo, store, find"),
        ('may = ["*"]', 4, "no wildcards"),
        ('may = ["echo", "admin:users"]', 4, "for people only"),
        ('may = ["\\u001b[2J"]', 4, r"'\\x1b\[2J'"),
        ("may = [3]", 4, "may: Expected `str`, got `int`"),
        ('may = "store"', 4, r'may is a list of texts; write may = \["\.\.\."\]'),
        ('mya = ["store"]', 4, "no 'mya'; the closest key is may"),
        ('From = ["10.0.0.0/8"]', 4, "no 'From'; the closest key is from"),
        ('from_ = ["10.0.0.0/8"]', 4, "no 'from_'; the closest key is from"),
        ('from = [\n"10.0.0.0/8",\n"10.1.2.3/8"]', 6, r"from: '10\.1\.2\.3/8' has bits beyond"),
        ('from = ["everywhere"]', 4, "from: 'everywhere' is no address"),
        ('move_to = ["A", "12345678901234567"]', 4, "'12345678901234567' is no AE title"),
        ('modalities = ["ct"]', 4, "'ct' is neither a modality nor"),
        ('modalities = [""]', 4, "'' is neither a modality nor"),
        ('private = ["GE"]', 4, "'GE' is no UID of a private"),
        ('private = ["1.2.840.10008.5.1.4.38.1"]', 4, "is no UID of a private"),
        ('hours = "always"', 4, "hours: 'always' are no hours"),
        ("max_results = 0", 4, "max_results must be from 1 to 10000000; to forbid"),
        ("studies_per_hour = -1", 4, "studies_per_hour must be from 1"),
        ("requests_per_minute = 1.5", 4, "requests_per_minute: Expected `int`"),
        ("requests_per_minute = true", 4, "requests_per_minute: Expected `int`"),
        ('receive = "ws1"', 4, "receive: where it takes C-STORE: 'ws1' should be HOST:PORT"),
        ('receive = "ws1:0"', 4, "should be HOST:PORT"),
        ('receive = "ws1:65536"', 4, "should be HOST:PORT"),
        ('receive = "fd00::1:104"', 4, "should be HOST:PORT"),
        ('receive = "ws 1:104"', 4, "neither a host name nor"),
        ('user = " "', 4, "user must be a name"),
        ("[guard.peer.hours]\nx = 1", 4, "hours: Expected `str"),
        ('[[guard.peer]]\nname = "CT2"\nae = "CT1"', 6, "the peer of line 3 has this AE title too"),
        ('[[guard.peer]]\nname = "CT2"\nae = "CT1  "', 6, "the peer of line 3 has this AE title too"),
        ('[[guard.peer]]\nae = "CT2"\nname = "ct1"', 6, "the peer of line 2 has this name too"),
        ('[[guard.peer]]\nae = "CT2"', 4, "the peer has no name"),
        ('[[guard.peer]]\nname = "CT2"', 4, "the peer has no ae"),
        ('[[guard.peer]]\nae = "CT2"\nname = "CT 2"', 6, "'CT 2' is no name"),
        ('[[guard.peer]]\nae = "CT2"\nname = "../x"', 6, "is no name"),
        ('[[guard.peer]]\nname = "CT2"\nae = ""', 6, "'' is no AE title"),
        ('[[guard.peer]]\nname = "CT2"\nae = "   "', 6, "'   ' is no AE title"),
        ('[[guard.peer]]\nname = "CT2"\nae = "A\\\\B"', 6, "is no AE title"),
        ('[[guard.peer]]\nname = "CT2"\nae = "Röntgen"', 6, r"'R\\xf6ntgen' is no AE title"),
        ('[[guard.peer]]\nname = "CT2"\nae = "A\\tB"', 6, "is no AE title"),
        ("[[guard.peer]", 4, "not TOML"),
        ("name = 3", 4, "not TOML"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_what_to_write(more: str, line: int, hint: str) -> None:
    for text in (f"{PEER}{more}\n", f"{PEER}{more}\n".replace("\n", "\r\n")):
        with pytest.raises(UsageError, match=hint) as caught:
            parse_policy(text, "leadapron.toml")
        assert str(caught.value).startswith(f"leadapron.toml:{line}: ")
        assert str(caught.value).isprintable()


def test_a_table_that_is_none() -> None:
    with pytest.raises(UsageError, match=r"leadapron.toml:2: guard.peer must be tables"):
        parse_policy('[guard]\npeer = "CT1"\n')
    with pytest.raises(UsageError, match=r"leadapron.toml:1: guard.peer must be tables"):
        parse_policy('[guard.peer]\nname = "CT1"\n')
    with pytest.raises(UsageError, match="not TOML"):
        parse_policy("a = " + "[" * 5000)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "leadapron.toml"
    with pytest.raises(UsageError, match=r"cannot read .*No such file"):
        load_policy(path)
    path.write_bytes(b"\n\n# \xff\n")
    with pytest.raises(UsageError, match=r"leadapron.toml:3: not UTF-8"):
        load_policy(path)
    path.write_bytes(b"#" * (5 << 20))
    with pytest.raises(UsageError, match="larger than 4 MiB"):
        load_policy(path)


def test_a_destination_that_nobody_has_is_noticed_and_no_mistake() -> None:
    policy = parse_policy(f'{PEER}move_to = [\n  "CT1",\n  "GONE",\n]\n', "leadapron.toml")
    assert policy.notices == ("leadapron.toml:6: CT1 may move to 'GONE', which is no peer's AE title: refused",)


@pytest.mark.parametrize("one", Permission)
def test_every_permission_is_written_in_full_and_dicom_in_short(one: Permission) -> None:
    assert permission(one.value) is permission(one.word) is one
    assert (one.word == one.value) is (one.surface != "dicom")


@given(tables(), st.randoms(use_true_random=False))
def test_whatever_is_valid_is_read(written: list[Table], random: Random) -> None:
    policy = parse_policy(Writer(written, random).text)
    assert [peer.rules.name for peer in policy.peers] == [table["name"] for table in written]
    for peer, table in zip(policy.peers, written, strict=True):
        assert peer.rules.may == tuple(table.get("may", ()))
        assert peer.rules.from_ == (tuple(table["from"]) if "from" in table else None)


@given(tables(), st.randoms(use_true_random=False), st.data())
def test_a_damaged_file_is_read_or_is_a_usage_error(written: list[Table], random: Random, data: st.DataObject) -> None:
    text = Writer(written, random).text
    at = data.draw(st.integers(0, len(text)))
    cut = data.draw(st.integers(0, 8))
    damaged = (
        text[:at] + data.draw(st.text(max_size=4) | st.sampled_from(("[", "{", '"""', "\\", "."))) + text[at + cut :]
    )
    try:
        parse_policy(damaged)
    except UsageError as error:
        assert str(error).startswith("leadapron.toml:")
