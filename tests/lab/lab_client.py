"""A visitor of the lab who hears everything as it is said: PDUs, command sets, octets. Every wait is bounded."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import Self

from leadapron.lab import EndpointSpec, EndpointTruth, Population, load
from leadapron.lab.archive import query as q
from leadapron.wire import uids
from leadapron.wire.dimse import (
    CEchoRequest,
    CFindRequest,
    CFindResponse,
    Command,
    MessageComplete,
    Reassembler,
    encode_command,
    fragment,
)
from leadapron.wire.elements import encode_dataset, read_elements
from leadapron.wire.pdu import (
    Abort,
    AssociateAccept,
    AssociateRequest,
    PData,
    Pdu,
    PduReader,
    ProposedContext,
    ReleaseRequest,
    UserIdentity,
    UserInformation,
    encode,
)

WAIT_S = 20.0
QUERY_CONTEXT = 3
SYNTAXES = (
    uids.VERIFICATION,
    uids.STUDY_ROOT_FIND,
    uids.PATIENT_ROOT_FIND,
    uids.MODALITY_WORKLIST_FIND,
    uids.CT_IMAGE_STORAGE,
    uids.STUDY_ROOT_MOVE,
    uids.INVENTED_ABSTRACT_SYNTAX,
)
KEYS = {
    q.STUDY_DATE: "DA",
    q.STUDY_TIME: "TM",
    q.PATIENT_ID: "LO",
    q.STUDY_INSTANCE_UID: "UI",
    q.STUDY_INSTANCES: "IS",
}

Answer = tuple[int, dict[int, bytes]]


class Hangup(Exception):
    """The server closed (``reset`` says how) before it had answered."""

    def __init__(self, reset: bool) -> None:
        super().__init__("reset" if reset else "closed")
        self.reset = reset


class Visitor:
    """``async with Visitor(truth) as visitor``: connected, and disconnected at the end."""

    def __init__(self, truth: EndpointTruth, tls: ssl.SSLContext | None = None) -> None:
        self.truth, self._tls = truth, tls
        self.octets = b""
        self._reader = PduReader()
        self._messages = Reassembler(gather=1 << 20)
        self._ready: list[tuple[Command, bytes | None]] = []
        self.accept: AssociateAccept | None = None

    async def __aenter__(self) -> Self:
        async with asyncio.timeout(WAIT_S):
            try:
                self._in, self._out = await asyncio.open_connection(self.truth.address, self.truth.port, ssl=self._tls)
            except ConnectionResetError:
                raise Hangup(True) from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._out.transport.abort()

    def send(self, data: bytes) -> None:
        self._out.write(data)

    async def hear(self, size: int = 65536) -> bytes:
        """Some octets; Hangup at the end."""
        try:
            async with asyncio.timeout(WAIT_S):
                data = await self._in.read(size)
        except ConnectionResetError:
            raise Hangup(True) from None
        if not data:
            raise Hangup(False)
        self.octets += data if len(self.octets) < 1 << 20 else b""
        return data

    async def pdu(self) -> Pdu:
        while (pdu := self._reader.next_pdu()) is None:
            self._reader.feed(await self.hear())
        return pdu

    async def associate(
        self,
        called: str = "ANY-SCP",
        calling: str = "LEADAPRON",
        identity: UserIdentity | None = None,
        transfer: tuple[str, ...] = (uids.IMPLICIT_LE, uids.EXPLICIT_LE),
    ) -> Pdu:
        contexts = tuple(ProposedContext(2 * n + 1, uid, transfer) for n, uid in enumerate(SYNTAXES))
        user = UserInformation(65536, "2.25.1", "TEST", user_identity=identity)
        self.send(encode(AssociateRequest(called, calling, contexts, user)))
        answer = await self.pdu()
        if isinstance(answer, AssociateAccept):
            self.accept = answer
        return answer

    def accepted(self) -> set[str]:
        assert self.accept is not None
        return {SYNTAXES[context.id // 2] for context in self.accept.contexts if context.result == 0}

    async def message(self) -> tuple[Command, bytes | None]:
        while not self._ready:
            pdu = await self.pdu()
            if isinstance(pdu, Abort):
                raise Hangup(False)
            assert isinstance(pdu, PData), pdu
            for value in pdu.values:
                for event in self._messages.feed(value):
                    if isinstance(event, MessageComplete):
                        assert event.context_id <= 2 * len(SYNTAXES)
                        self._ready.append((event.command, event.data_set))
        return self._ready.pop(0)

    async def echo(self) -> int:
        self.send(b"".join(fragment(1, encode_command(CEchoRequest(1)), None, 16384)))
        command, _ = await self.message()
        status = command.status  # type: ignore[union-attr]
        assert isinstance(status, int)
        return status

    def ask(self, level: str = "STUDY", context: int = QUERY_CONTEXT, **matches: str) -> None:
        """Send a C-FIND-RQ; ``matches`` by the names of ``lab.archive.query``."""
        values = dict.fromkeys(KEYS, "") | {getattr(q, name): value for name, value in matches.items()}
        vrs = KEYS | {q.PATIENT_NAME: "PN", q.SERIES_INSTANCE_UID: "UI", q.SERIES_INSTANCES: "IS"}
        elements = [(tag, vrs[tag], value) for tag, value in values.items()]
        identifier = encode_dataset([(q.QUERY_RETRIEVE_LEVEL, "CS", level), *elements], self.syntax(context))
        command = encode_command(CFindRequest(9, SYNTAXES[context // 2]))
        self.send(b"".join(fragment(context, command, identifier, 16384)))

    def syntax(self, context: int = QUERY_CONTEXT) -> str:
        assert self.accept is not None
        return next(c.transfer_syntax for c in self.accept.contexts if c.id == context)

    async def find(
        self, level: str = "STUDY", context: int = QUERY_CONTEXT, **matches: str
    ) -> tuple[list[Answer], int]:
        """Pending answers with their status, and the final status."""
        self.ask(level, context, **matches)
        answers: list[Answer] = []
        while True:
            command, data = await self.message()
            assert isinstance(command, CFindResponse) and command.responds_to == 9, command
            if command.status not in (0xFF00, 0xFF01):
                return answers, command.status
            assert data is not None
            values = {e.tag: bytes(e.value).strip(b" \0") for e in read_elements(data, self.syntax(context))}
            answers.append((command.status, values))

    async def release(self) -> Pdu:
        self.send(encode(ReleaseRequest()))
        return await self.pdu()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what the lab, in this very loop, is about to do."""
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.001)


def only(population: str, *personas: str) -> Population:
    """The endpoints of these personas, out of a shipped population."""
    whole = load(population)
    return Population(whole.name, [spec for spec in whole.endpoint if spec.persona in personas])


def one(persona: str, **spec: object) -> Population:
    """A population of one endpoint."""
    return Population("test", [EndpointSpec("127.201.0.1", 11112, persona, **spec)])  # type: ignore[arg-type]
