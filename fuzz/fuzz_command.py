"""Fuzz command sets and reassembly: ``python fuzz/fuzz_command.py [work folder] fuzz/corpus/command``.

The input's first octet chooses: an even one makes the rest a command set, which must decode (and then survive being
encoded and decoded again) or raise ProtocolError, the same when it comes in fragments. An odd one makes the rest a
script of PDVs (control octet, length, data), which must give events in a legal order or raise ProtocolError, and
never make the reassembler hold more than its bounds.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["leadapron"]):
    from leadapron.kernel.errors import ProtocolError
    from leadapron.wire.dimse import (
        Command,
        CommandReceived,
        DataFragment,
        MessageEvent,
        Reassembler,
        decode_command,
        encode_command,
    )
    from leadapron.wire.dimse.command import MAX_COMMAND
    from leadapron.wire.dimse.status import classify, describe
    from leadapron.wire.pdu.types import PresentationDataValue

GATHER = 64
DEFAULTS = {"-timeout": "10", "-rss_limit_mb": "1024", "-max_len": "4096"}


def one_input(data: bytes) -> None:
    if not data:
        return
    if data[0] & 1:
        script(data[1:])
    else:
        command_set(data[1:], size=data[0] // 2 + 1)


def command_set(data: bytes, size: int) -> None:
    whole = outcome(data)
    pieces: Command | str
    reassembler = Reassembler()
    try:
        events: tuple[MessageEvent, ...] = ()
        for at in range(0, max(len(data), 1), size):
            events = reassembler.feed(PresentationDataValue(1, True, at + size >= len(data), data[at : at + size]))
        assert isinstance(events[0], CommandReceived)
        pieces = events[0].command
    except ProtocolError as error:
        pieces = str(error)
    assert whole == pieces
    if not isinstance(whole, str):
        assert outcome(encode_command(whole)) == whole
        repr(whole)
        status = getattr(whole, "status", 0)
        classify(status)
        describe(status)


def outcome(data: bytes) -> Command | str:
    try:
        return decode_command(data)
    except ProtocolError as error:
        return str(error)


def script(data: bytes) -> None:
    gather = GATHER if data[:1] >= b"\x80" else None
    reassembler = Reassembler(gather)
    command: Command | None = None
    at = 1
    while at + 2 <= len(data):
        control, length = data[at], data[at + 1]
        pdv = PresentationDataValue(
            1 + (control & 4), bool(control & 1), bool(control & 2), data[at + 2 : at + 2 + length]
        )
        at += 2 + length
        try:
            events = reassembler.feed(pdv)
        except ProtocolError:
            return
        assert len(reassembler._parts) <= max(MAX_COMMAND, GATHER)
        for event in events:
            if isinstance(event, CommandReceived):
                assert command is None
                command = event.command
            elif isinstance(event, DataFragment):
                assert command is not None and command.has_data_set and gather is None
            else:
                assert event.command is command
                assert event.data_set is None or len(event.data_set) <= GATHER
                command = None
        assert reassembler.idle <= (command is None)


def main() -> None:
    given = {argument.split("=")[0] for argument in sys.argv[1:]}
    options = [f"{name}={value}" for name, value in DEFAULTS.items() if name not in given]
    atheris.Setup([*sys.argv, *options], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
