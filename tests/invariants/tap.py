"""A tap between scan and server: forwards both ways and keeps every octet that the scanner said.

It stands at an address of its own, with as many ports as wanted, and sees what a device would see of its visitor: how
many connections at once, how each began and ended. It can fall silent, or pour, after so many octets of the server.
What was said is taken apart here with a few lines and pydicom, not with our own reader: it must not be its own witness.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from scan.scanning import reserve

ASSOCIATE_RQ, ASSOCIATE_AC, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = 1, 2, 4, 5, 6, 7
MESSAGES = {
    0x0030: "C-ECHO-RQ",
    0x0020: "C-FIND-RQ",
    0x0FFF: "C-CANCEL-RQ",
    0x0001: "C-STORE-RQ",
    0x0010: "C-GET-RQ",
    0x0021: "C-MOVE-RQ",
    0x0130: "N-ACTION-RQ",
    0x0100: "N-EVENT-REPORT-RQ",
    0x0110: "N-GET-RQ",
    0x0120: "N-SET-RQ",
    0x0140: "N-CREATE-RQ",
    0x0150: "N-DELETE-RQ",
}
WAIT_S = 30.0
Endpoint = tuple[str, int]


@dataclass
class Connection:
    """One connection: what the scanner ``said`` and was ``answered``. ``reset``: the scanner ended it by RST."""

    port: int
    began: float
    said: bytearray = field(default_factory=bytearray)
    answered: bytearray = field(default_factory=bytearray)
    ended: float | None = None
    reset: bool = False

    @property
    def is_tls(self) -> bool:
        """Whether the scanner began with a TLS handshake, RFC 8446 §5.1; what follows can't be read here."""
        return self.said[:2] == b"\x16\x03"

    @property
    def pdus(self) -> list[tuple[int, bytes]]:
        """Type and body of each PDU that the scanner sent (none over TLS); fails for octets that are none."""
        found: list[tuple[int, bytes]] = []
        octets, at = b"" if self.is_tls else bytes(self.said), 0
        while at < len(octets):
            kind, length = struct.unpack_from(">BxI", octets, at)
            assert 1 <= kind <= 7 and at + 6 + length <= len(octets), "octets that are no whole PDU"
            found.append((kind, octets[at + 6 : at + 6 + length]))
            at += 6 + length
        return found

    @property
    def accepted(self) -> bool:
        """Whether an A-ASSOCIATE-AC came back."""
        return self.answered[:1] == b"\x02"

    @property
    def request(self) -> Request:
        """The A-ASSOCIATE-RQ. Fails where the scanner began with anything else, TLS among it."""
        kind, body = self.pdus[0]
        assert kind == ASSOCIATE_RQ, f"a PDU of type {kind} came first"
        return Request(body)

    def messages(self) -> list[tuple[str, Dataset, bytes]]:
        """DIMSE messages in their order: name, command set as pydicom reads it, octets of the data set."""
        found: list[tuple[str, Dataset, bytes]] = []
        parts: dict[bool, bytes] = {True: b"", False: b""}
        command: Dataset | None = None
        for kind, body in self.pdus:
            at = 0
            while kind == P_DATA and at < len(body):
                length, _, control = struct.unpack_from(">IBB", body, at)
                is_command = bool(control & 1)
                parts[is_command] += body[at + 6 : at + 4 + length]
                at += 4 + length
                if not control & 2:
                    continue
                if is_command:
                    command = read_dataset(io.BytesIO(parts[True]), is_implicit_VR=True, is_little_endian=True)
                    parts[True] = b""
                    if command.CommandDataSetType != 0x0101:
                        continue
                assert command is not None
                name = MESSAGES.get(command.CommandField, f"{command.CommandField:04X}H")
                found.append((name, command, parts[False]))
                parts[False] = b""
        return found


class Request:
    """An A-ASSOCIATE-RQ, PS3.8 Table 9-11: titles, and the items by type, sub-items of user information among them."""

    def __init__(self, body: bytes) -> None:
        self.called = body[4:20].decode("ascii").strip()
        self.calling = body[20:36].decode("ascii").strip()
        self.items = list(_items(body[68:]))
        (user,) = (item for kind, item in self.items if kind == 0x50)
        self.user = list(_items(user))

    @property
    def user_types(self) -> set[int]:
        return {kind for kind, _ in self.user}


def _items(octets: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(octets):
        kind, length = struct.unpack_from(">BxH", octets, at)
        yield kind, octets[at + 4 : at + 4 + length]
        at += 4 + length


class Tap:
    """``with Tap(address, {11112: (server, port)}) as tap:``. ``connections`` in the order in which they came.

    ``mute``: after how many octets of the server's answers the connection of that number (from 0) falls silent, None
    for never. ``flood`` is then poured for ever instead of silence.
    """

    def __init__(
        self,
        address: str,
        doors: Mapping[int, Endpoint],
        *,
        mute: Callable[[int], int | None] = lambda number: None,
        flood: bytes = b"",
    ) -> None:
        self.address, self._doors, self._mute, self._flood = address, doors, mute, flood
        self.connections: list[Connection] = []
        self.open_now = self.most_at_once = 0
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(WAIT_S)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(WAIT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)
        self._loop.close()

    def settled(self) -> list[Connection]:
        """The connections, once all of them have ended."""
        until = time.monotonic() + WAIT_S
        while self.open_now:
            assert time.monotonic() < until, "a connection was left open"
            time.sleep(0.01)
        return self.connections

    async def _open(self) -> None:
        self._servers = [await asyncio.start_server(self._served(port), self.address, port) for port in self._doors]

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _served(self, port: int) -> Any:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            await self._forward(port, reader, writer)

        return serve

    async def _forward(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mute = self._mute(len(self.connections))
        connection = Connection(port, time.monotonic())
        self.connections.append(connection)
        self.open_now += 1
        self.most_at_once = max(self.most_at_once, self.open_now)
        onwards = await asyncio.open_connection(*self._doors[port])
        answering = asyncio.ensure_future(self._answer(connection, onwards[0], writer, mute))
        try:
            while octets := await reader.read(65536):
                connection.said += octets
                with contextlib.suppress(ConnectionError):
                    onwards[1].write(octets)
                    await onwards[1].drain()
        except ConnectionResetError:
            connection.reset = True
        finally:
            self.open_now -= 1
            connection.ended = time.monotonic()
            answering.cancel()
            writer.transport.abort()
            onwards[1].close()

    async def _answer(
        self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, mute: int | None
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while mute is None or len(connection.answered) < mute:
                octets = await reader.read(65536)
                if not octets:
                    writer.close()  # the server hung up
                    return
                if mute is not None:
                    octets = octets[: mute - len(connection.answered)]
                connection.answered += octets
                writer.write(octets)
                await writer.drain()
            while self._flood:
                writer.write(self._flood)
                await writer.drain()
            await reader.read()  # silence, until the scanner or the server has had enough


def addresses(count: int) -> list[str]:
    """Loopback addresses that nobody else uses."""
    second = reserve(1)
    return [f"127.{second}.{number // 200}.{number % 200 + 1}" for number in range(count)]
