"""``--from FILE``: other tools' files, recognised by how they begin. Shapes as their documentation and sources give
them; nmap's also as the nmap that is installed writes it."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import socket
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadapron.kernel.errors import UsageError
from leadapron.watch.find.formats import PRINTING, Source, nmap, plain, recognise, records
from leadapron.watch.scope.addresses import describe

Found = list[tuple[int, str, int | None]]


def read(content: str | bytes, name: str = "file") -> tuple[str, Found]:
    source = Source(io.BytesIO(content.encode() if isinstance(content, str) else content), name)
    format, reader = recognise(source.head)
    return format, [(line, spec.name or describe(spec.blocks[0]), spec.port) for line, spec in reader(source)]


def error(content: str | bytes) -> str:
    with pytest.raises(UsageError) as caught:
        read(content)
    return str(caught.value)


# ---- plain lists ----------------------------------------------------------------------------------------------------


def test_a_plain_list() -> None:
    text = "\ufeff# ours\r\n10.0.0.0/24 10.0.1.5:104\r\n\r\n[2001:db8::1]:11112 # CT\npacs.example.org\n"
    assert read(text) == (
        "target list",
        [(2, "10.0.0.0/24", None), (2, "10.0.1.5", 104), (4, "2001:db8::1", 11112), (5, "pacs.example.org", None)],
    )
    assert read("") == ("target list", [])
    assert read("[2001:db8::5]:104")[1] == [(1, "2001:db8::5", 104)], "a bracket does not make it JSON"


def test_an_error_names_file_and_line() -> None:
    assert error("10.0.0.1\n\n10.0.0.0/33\n").startswith("file:3: '10.0.0.0/33' has a prefix length above 32")
    assert error("10.0.0.1\n\x00\xff").startswith("file:2: ")


def test_a_line_is_bounded() -> None:
    assert "file:2: a line of more than 64 KiB" in error("10.0.0.1\n" + "1" * 100_000)
    assert "file:2: a line of more than 64 KiB" in error("10.0.0.1\n" + "1" * 3_000_000 + "\n10.0.0.2")


def test_gzip_is_unpacked() -> None:
    packed = gzip.compress(b"10.0.0.1\n" * 150_000) + gzip.compress(b"10.0.0.2\n")
    assert len(read(packed)[1]) == 150_001
    assert "damaged or cut short" in error(packed[:-30])
    assert "damaged or cut short" in error(gzip.compress(b"10.0.0.1")[:-4] + b"abcd")


def test_a_gzip_bomb_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leadapron.watch.find.formats.source.MAX_OCTETS", 10 << 20)
    assert "split it" in error(gzip.compress((b"#" * 1000 + b"\n") * (11 << 10)))


@given(st.integers(1, 40), st.integers(1, 9))
def test_it_does_not_matter_how_a_file_arrives(size: int, lines: int) -> None:
    """A pipe gives what it has."""

    class Pipe(io.BytesIO):
        def read(self, size_: int | None = -1, /) -> bytes:
            return super().read(size)

    source = Source(Pipe(b"".join(b"10.0.0.%d\n" % n for n in range(lines))), "pipe")
    assert [describe(spec.blocks[0]) for _, spec in plain.read(source)] == [f"10.0.0.{n}" for n in range(lines)]


# ---- nmap -----------------------------------------------------------------------------------------------------------

NMAP = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE nmaprun>
<?xml-stylesheet href="file:///usr/share/nmap/nmap.xsl" type="text/xsl"?>
<nmaprun scanner="nmap" args="nmap -oX -" start="1700000000" version="7.94" xmloutputversion="1.05">
<hosthint><status state="up"/><address addr="10.9.9.9" addrtype="ipv4"/></hosthint>
<host starttime="1"><status state="up" reason="syn-ack"/>
<address addr="10.0.0.5" addrtype="ipv4"/><address addr="00:11:22:33:44:55" addrtype="mac" vendor="X"/>
<hostnames><hostname name="ct.example.org" type="PTR"/></hostnames>
<ports><extraports state="closed" count="998"/>
<port protocol="tcp" portid="104"><state state="open" reason="syn-ack"/><service name="acr-nema"/></port>
<port protocol="tcp" portid="11112"><state state="filtered"/></port>
<port protocol="udp" portid="161"><state state="open"/></port>
<port protocol="tcp" portid="4242"><state state="open"/></port></ports></host>
<host><status state="down"/><address addr="10.0.0.6" addrtype="ipv4"/></host>
<host><status state="up"/><address addr="2001:db8::7" addrtype="ipv6"/></host>
<host><status state="up"/><address addr="10.0.0.8" addrtype="ipv4"/><ports><extraports state="closed"/></ports></host>
</nmaprun>"""


def test_nmap() -> None:
    format, found = read(NMAP)
    assert format == "nmap XML"
    assert [row[1:] for row in found] == [("10.0.0.5", 104), ("10.0.0.5", 4242), ("2001:db8::7", None)]


def test_masscan_writes_nmaps_xml() -> None:
    text = (
        '<?xml version="1.0"?><!-- masscan v1.0 scan -->\n<nmaprun scanner="masscan" start="1" version="1.0-BETA">\n'
        '<host endtime="1"><address addr="10.0.0.5" addrtype="ipv4"/><ports><port protocol="tcp" portid="104">'
        '<state state="open" reason="syn-ack" reason_ttl="64"/></port></ports></host>\n</nmaprun>'
    )
    assert read(text) == ("nmap XML", [(3, "10.0.0.5", 104)])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("<html><body>", "expected nmaprun, found 'html'"),
        ("<nmaprun>\n<host>", "file:2: not well-formed XML"),
        ("<nmaprun></nope>", "not well-formed"),
        ('<!DOCTYPE nmaprun [\n<!ENTITY a "b">]><nmaprun/>', "file:2: declares an XML entity"),
        ('<!DOCTYPE nmaprun [<!ENTITY a SYSTEM "file:///etc/passwd">]><nmaprun/>', "declares an XML entity"),
        ('<!DOCTYPE nmaprun [<!ENTITY % a "b">]><nmaprun/>', "declares an XML entity"),
        ("<nmaprun>" + "<a>" * 100, "deep"),
        ('<nmaprun><host><address addr="x" addrtype="ipv4"/></host></nmaprun>', "no IPv4 or IPv6 address"),
        (NMAP.replace('"104"', '"70000"'), "no number from 1 to 65535"),
    ],
)
def test_xml_that_nmap_would_not_write(content: str, said: str) -> None:
    assert said in error(content)


def test_the_nmap_that_is_installed() -> None:
    assert shutil.which("nmap"), "nmap is missing; install it with: apt-get install nmap"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        command = ["nmap", "-n", "-Pn", "-sT", "-p", str(port), "-oX", "-", "127.0.0.1", "127.0.0.2"]
        done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    found = [(describe(spec.blocks[0]), spec.port) for _, spec in nmap.read(Source(io.BytesIO(done.stdout), "nmap"))]
    assert found == [("127.0.0.1", port)]


# ---- masscan --------------------------------------------------------------------------------------------------------


def test_masscan_list() -> None:
    text = (
        "#masscan\nopen tcp 104 10.0.0.5 1700000000\nopen udp 161 10.0.0.5 1700000000\nclosed tcp 80 10.0.0.6 1\n"
        "banner tcp 80 10.0.0.7 1700000000 http HTTP/1.0 200 OK secret words\nopen tcp 11112 2001:db8::1 1\n# end\n"
    )
    assert read(text) == ("masscan list", [(2, "10.0.0.5", 104), (6, "2001:db8::1", 11112)])
    assert "masscan -oL" in error("#masscan\n10.0.0.1\n")


@pytest.mark.parametrize("end", ["]\n", "{finished: 1}\n]\n", ",\n]", ""])
def test_masscan_json(end: str) -> None:
    text = (
        '[\n{   "ip": "10.0.0.5",   "timestamp": "1", "ports": [ {"port": 104, "proto": "tcp", "status": "open",'
        ' "reason": "syn-ack", "ttl": 64} ] }\n,\n'
        '{   "ip": "10.0.0.6",   "timestamp": "1", "ports": [ {"port": 161, "proto": "udp", "status": "open"},'
        ' {"port": 80, "proto": "tcp", "service": {"name": "http", "banner": "secret words"} } ] }\n'
    )
    assert read(text + end) == ("JSON", [(2, "10.0.0.5", 104), (4, "10.0.0.6", 80)])


def test_masscan_ndjson() -> None:
    text = (
        '{"ip":"10.0.0.5","timestamp":"1","port":104,"proto":"tcp","rec_type":"status","data":{"status":"open"}}\n'
        '{"ip":"10.0.0.6","timestamp":"1","port":104,"proto":"tcp","rec_type":"status","data":{"status":"closed"}}\n'
    )
    assert read(text)[1] == [(1, "10.0.0.5", 104)]


# ---- ZMap -----------------------------------------------------------------------------------------------------------


def test_zmap() -> None:
    assert read("10.0.0.5\n10.0.0.6\n") == ("target list", [(1, "10.0.0.5", None), (2, "10.0.0.6", None)])
    assert read("saddr\n10.0.0.5\n\n10.0.0.6\n") == ("CSV", [(2, "10.0.0.5", None), (4, "10.0.0.6", None)])
    text = 'classification,"saddr",sport,success\nsynack,10.0.0.5,104,1\nrst,10.0.0.6,104,0\nsynack,"10.0.0.7",104,1\n'
    assert read(text) == ("CSV", [(2, "10.0.0.5", 104), (4, "10.0.0.7", 104)])
    assert read('{"saddr":"10.0.0.5","sport":104,"success":1}\n')[1] == [(1, "10.0.0.5", 104)]
    assert "file:2: 1 columns where the first line has 2" in error("saddr,sport\n10.0.0.5\n")
    assert "file:2: the address" in error("saddr,sport\nsecret,104\n")
    assert "file:2: not a line of CSV" in error('saddr,sport\n"10.0.0.5,104\n')


# ---- other tables ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "ip,port\r\n10.0.0.5,104\r\n",
        "IP,Port,Timestamp,Data\n10.0.0.5,104,2020,x\n",
        'data,ip,ip_str,port,transport\n"HTTP\n\nok, ""so""\n",167772165,10.0.0.5,104,tcp\nx,1,10.0.0.6,53,udp\n',
        "address,port,transport,verdict\n10.0.0.5,104,tls,exposed\n",
    ],
)
def test_tables_with_a_header(text: str) -> None:
    name, rows = read(text)
    assert (name, [row[1:] for row in rows]) == ("CSV", [("10.0.0.5", 104)])


def test_a_table_without_a_header_is_not_guessed_at() -> None:
    """10.0.0.1,104 would be two addresses to nmap; somebody's table means a port."""
    assert "write 10.0.0.1:104 for the port" in error("10.0.0.1,104\n10.0.0.2,104\n")
    assert read("10.0.0.1,5\n")[1] == [(1, "10.0.0.1", None)]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_as_powershell_redirects_it(encoding: str) -> None:
    text = "\ufeff10.0.0.5:104\r\n# Büro\r\n" + "10.0.0.6\r\n" * 100_000
    name, rows = read(text.encode(encoding))
    assert (name, rows[:2], len(rows)) == (
        "target list",
        [(1, "10.0.0.5", 104), (3, "10.0.0.6", None)],
        100_001,
    )


def test_greppable() -> None:
    nmaps = (
        "# Nmap 7.93 scan initiated Sat Nov 21 2026 as: nmap -oG - 10.0.0.0/29\n"
        "Host: 10.0.0.1 ()\tStatus: Up\n"
        "Host: 10.0.0.1 ()\tPorts: 104/open/tcp//acr-nema///, 80/closed/tcp//http///, 53/open/udp//domain///, "
        "4242/open/tcp//vrml-multi-use///\tIgnored State: closed (96)\n"
        "Host: 10.0.0.2 (pacs.example.org)\tStatus: Up\n"
        "Host: 10.0.0.2 (pacs.example.org)\tIgnored State: filtered (100)\n"
        "Host: 10.0.0.3 ()\tStatus: Down\n"
        "Host: 10.0.0.4 ()\tStatus: Up\n"
        "Host: 2001:db8::5 ()\tStatus: Up\n"
        "# Nmap done at Sat Nov 21\n"
    )
    found = [(3, "10.0.0.1", 104), (3, "10.0.0.1", 4242), (7, "10.0.0.4", None), (8, "2001:db8::5", None)]
    assert read(nmaps) == ("nmap greppable", found)
    masscans = (
        "# Masscan 1.3.2 scan initiated\n# Ports scanned: TCP(1;104-104)\n"
        "Timestamp: 1519244560\tHost: 10.0.0.5 ()\tPorts: 104/open/tcp//dicom//\n# Masscan done\n"
    )
    assert read(masscans) == ("nmap greppable", [(3, "10.0.0.5", 104)])
    assert "file:2: the address" in error("# Nmap\nHost: secret ()\tPorts: 104/open/tcp//x///\n")
    assert "file:2: expected lines as nmap -oG" in error("Host: 10.0.0.5 ()\tStatus: Up\nsecret\n")


def test_greppable_of_the_nmap_that_is_installed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        program = shutil.which("nmap") or pytest.fail("nmap is not installed: apt-get install nmap")
        command = [program, "-n", "-Pn", "-sT", "-p", f"{port},1", "-oG", "-", "127.0.0.1"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    name, rows = read(done.stdout)
    assert (name, [row[1:] for row in rows]) == ("nmap greppable", [("127.0.0.1", port)])


def test_our_own_records_are_targets() -> None:
    endpoint = {"type": "endpoint", "schema": 1, "address": "10.0.0.5", "port": 104, "verdict": "exposed"}
    summary = {"type": "summary", "schema": 1, "targets": 1}
    assert read(f"{json.dumps(endpoint)}\n{json.dumps(summary)}\n") == ("JSON", [(1, "10.0.0.5", 104)])
    document = json.dumps({"records": [endpoint, endpoint], "summary": summary})
    assert [row[1:] for row in read(document)[1]] == [("10.0.0.5", 104)] * 2
    assert read('{"host":"x","ip":"10.0.0.5","port":104,"protocol":"tcp"}\n')[1] == [(1, "10.0.0.5", 104)]


# ---- Shodan, Censys -------------------------------------------------------------------------------------------------

SHODAN: dict[str, Any] = {
    "ip": 167772165,
    "ip_str": "10.0.0.5",
    "port": 104,
    "transport": "tcp",
    "data": "secret words",
}
CENSYS: dict[str, Any] = {
    "ip": "10.0.0.6",
    "services": [
        {"port": 104, "service_name": "DICOM", "transport_protocol": "TCP"},
        {"port": 53, "service_name": "DNS", "transport_protocol": "UDP"},
    ],
}


@pytest.mark.parametrize(
    "document",
    [
        SHODAN,
        [SHODAN],
        {"matches": [SHODAN], "total": 1},
        {
            "ip": 1,
            "ip_str": "10.0.0.5",
            "ports": [104, 53],
            "data": [SHODAN, {**SHODAN, "port": 53, "transport": "udp"}],
        },
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_shodan(document: object, indent: int | None) -> None:
    found = read(json.dumps(document, indent=indent))
    assert found == ("JSON", [(found[1][0][0], "10.0.0.5", 104)])


@pytest.mark.parametrize(
    "document",
    [
        CENSYS,
        [CENSYS],
        {"code": 200, "status": "OK", "result": {"query": "x", "total": 1, "hits": [CENSYS], "links": {"next": ""}}},
        {"result": {"hits": [{"host_v1": {"extensions": {}, "resource": CENSYS}}]}},
        {"host": CENSYS},
        {"ip": "10.0.0.6", "matched_services": [{"port": 104}]},
        {"ip": "10.0.0.6", "protocols": ["104/dicom"]},
        {"host_identifier": {"ipv4": "10.0.0.6"}, "services": [{"port": 104, "transport_protocol": None}]},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_censys(document: object, indent: int | None) -> None:
    assert [row[1:] for row in read(json.dumps(document, indent=indent))[1]] == [("10.0.0.6", 104)]


def test_records_of_several_kinds_one_a_line() -> None:
    text = "\n".join(json.dumps(record) for record in (SHODAN, CENSYS, {**SHODAN, "port": 11112}))
    assert [row for row in read(text)[1]] == [(1, "10.0.0.5", 104), (2, "10.0.0.6", 104), (3, "10.0.0.5", 11112)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"a": 1}', "file:1: a record of a kind unknown here"),
        ('{"ip_str": "10.0.0.5", "port": 1}\n{"ip_str": ', "file:2: not valid JSON"),
        ('{"ip_str": "10.0.0.5", "port": 1}\nnope', "file:2: expected a JSON object"),
        ("[" + '{"a":' * 100_000, "file:1: not valid JSON"),
        ('{"a":' * 100_000, "file:1: not valid JSON"),
        ('{"ip_str": "secret", "port": 1}', "the address of this record"),
        ('{"ip_str": "10.0.0.5", "port": "secret"}', "the port of this record"),
        ('{"ip_str": "10.0.0.5", "port": true}', "the port of this record"),
        ('{"ip_str": "10.0.0.5", "port": 0}', "the port of this record"),
        ('{"ip_str": ["secret"], "port": 1}', "the address of this record"),
    ],
)
def test_json_that_is_no_export(content: str, said: str) -> None:
    found = error(content)
    assert said in found
    assert "secret" not in found, "what a file says of others stays in the file"


def test_a_record_larger_than_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(json.dumps({**SHODAN, "data": "é" * 700_000, "port": port}) + "\n" for port in (1, 2, 3))
    assert [row[0::2] for row in read(text)[1]] == [(1, 1), (2, 2), (3, 3)]
    monkeypatch.setattr(records, "MAX_RECORD", 1000)
    assert "beyond 64 MiB" in error("{" + " " * 3_000_000)


def test_printing_ports_are_known() -> None:
    assert 9100 in PRINTING and 9107 in PRINTING and 9108 not in PRINTING


@given(st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
def test_any_file_is_read_or_is_a_usage_error(content: bytes) -> None:
    for start in (
        b"",
        b"<nmaprun>",
        b"#masscan\n",
        b"[{",
        b'{"ip_str":',
        b"saddr,sport\n",
        b"\x1f\x8b",
        b"\xff\xfe",
        b"Host: 10.0.0.1 ()\t",
    ):
        try:
            read(start + content)
        except UsageError as caught:
            assert str(caught).startswith("file")
