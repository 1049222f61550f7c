"""DICOM over asyncio: `associate` as a client, `serve` as a server, plain and over TLS.

docs/library.md shows both in twenty lines each. ``swarm`` is for thousands of short conversations at a time and is
imported by its own name.
"""

from leadapron.wire.aio.client import associate
from leadapron.wire.aio.dataset import DataSet
from leadapron.wire.aio.find import Find
from leadapron.wire.aio.loop import run
from leadapron.wire.aio.requestor import FindEnd, Replied, RequestorAssociation, Retrieved
from leadapron.wire.aio.server import Server, ServerLimits, serve
from leadapron.wire.aio.service import (
    ActionRequest,
    Call,
    EchoRequest,
    Encoded,
    EndWith,
    EventRequest,
    FindRequest,
    GetRequest,
    Instance,
    MoveRequest,
    Progress,
    Reply,
    Service,
    StoreRequest,
)
from leadapron.wire.aio.timeouts import Timeouts
from leadapron.wire.aio.tls import TlsInfo, client_context, probe_context, server_context
from leadapron.wire.association.negotiate import AgreedContext, ContextRequest, Supported, anyone, choose, recognised

__all__ = [
    "ActionRequest",
    "AgreedContext",
    "Call",
    "ContextRequest",
    "DataSet",
    "EchoRequest",
    "Encoded",
    "EndWith",
    "EventRequest",
    "Find",
    "FindEnd",
    "FindRequest",
    "GetRequest",
    "Instance",
    "MoveRequest",
    "Progress",
    "Replied",
    "Reply",
    "RequestorAssociation",
    "Retrieved",
    "Server",
    "ServerLimits",
    "Service",
    "StoreRequest",
    "Supported",
    "Timeouts",
    "TlsInfo",
    "anyone",
    "associate",
    "choose",
    "client_context",
    "probe_context",
    "recognised",
    "run",
    "serve",
    "server_context",
]
