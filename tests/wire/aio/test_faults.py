"""The seam where other people's errors become ours, and where their words stay behind."""

from __future__ import annotations

import errno
import socket
import ssl
import sys

import pytest

from leadapron.kernel.errors import ConnectionLost, ProtocolError, TlsFailed, WireError
from leadapron.wire.aio.dataset import DataSet, encode_identifier
from leadapron.wire.aio.faults import fault
from leadapron.wire.aio.loop import loop_factory, run
from leadapron.wire.elements import Tag
from leadapron.wire.uids import EXPLICIT_LE, IMPLICIT_LE

CANARY = "CANARY"


@pytest.mark.parametrize(
    ("error", "kind", "name"),
    [
        (None, ConnectionLost, None),
        (ConnectionRefusedError(errno.ECONNREFUSED, CANARY), ConnectionLost, "ECONNREFUSED"),
        (OSError(errno.EHOSTUNREACH, CANARY), ConnectionLost, "EHOSTUNREACH"),
        (ConnectionResetError(CANARY), ConnectionLost, "ECONNRESET"),
        (BrokenPipeError(errno.EPIPE, CANARY), ConnectionLost, "EPIPE"),
        (socket.gaierror(socket.EAI_NONAME, CANARY), ConnectionLost, "EAI_NONAME"),
        (RuntimeError(CANARY), ConnectionLost, None),
        (ssl.SSLError(1, CANARY), TlsFailed, None),
        (ssl.SSLEOFError(8, CANARY), TlsFailed, None),
    ],
)
def test_every_error_has_its_kind_and_no_foreign_word(
    error: Exception | None, kind: type[WireError], name: str | None
) -> None:
    mapped = fault(error, "a test")
    assert type(mapped) is kind
    assert CANARY not in str(mapped) + repr(mapped)
    if isinstance(mapped, ConnectionLost):
        assert mapped.error == name


def test_our_own_errors_pass() -> None:
    error = ProtocolError("x")
    assert fault(error, "a test") is error


def test_a_data_set_shows_no_value() -> None:
    data = encode_identifier([(Tag.PatientName, "PN", CANARY), (Tag.StudyInstanceUID, "UI", "1.2")], EXPLICIT_LE)
    answer = DataSet(data, EXPLICIT_LE)
    assert CANARY not in repr(answer)
    assert answer.text(Tag.PatientName, "PN") == CANARY
    assert answer.text(Tag.StudyDate) == ""
    assert [element.tag for element in answer.elements()] == [Tag.PatientName, Tag.StudyInstanceUID]
    assert encode_identifier(answer, EXPLICIT_LE) == data
    with pytest.raises(ValueError, match="transfer syntax"):
        encode_identifier(answer, IMPLICIT_LE)


def test_a_program_runs_on_uvloop_where_it_is() -> None:
    async def main() -> str:
        import asyncio

        return type(asyncio.get_running_loop()).__module__

    assert run(main()).startswith("uvloop")


def test_and_on_asyncio_where_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    loop = loop_factory()()
    assert type(loop).__module__.startswith("asyncio")
    loop.close()
