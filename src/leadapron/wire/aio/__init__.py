"""DICOM over asyncio: `associate` as a client, `serve` as a server, plain and over TLS.

docs/library.md shows both in twenty lines each. ``swarm`` is for thousands of short conversations at a time and is
imported by its own name. Names are loaded when they are first used (PEP 562): who wants a part does not pay for all.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from leadapron.wire.aio.client import associate as associate
    from leadapron.wire.aio.dataset import DataSet as DataSet
    from leadapron.wire.aio.find import Find as Find
    from leadapron.wire.aio.loop import run as run
    from leadapron.wire.aio.requestor import FindEnd as FindEnd
    from leadapron.wire.aio.requestor import Replied as Replied
    from leadapron.wire.aio.requestor import RequestorAssociation as RequestorAssociation
    from leadapron.wire.aio.requestor import Retrieved as Retrieved
    from leadapron.wire.aio.server import Server as Server
    from leadapron.wire.aio.server import ServerLimits as ServerLimits
    from leadapron.wire.aio.server import serve as serve
    from leadapron.wire.aio.service import ActionRequest as ActionRequest
    from leadapron.wire.aio.service import Call as Call
    from leadapron.wire.aio.service import CreateRequest as CreateRequest
    from leadapron.wire.aio.service import EchoRequest as EchoRequest
    from leadapron.wire.aio.service import Encoded as Encoded
    from leadapron.wire.aio.service import EndWith as EndWith
    from leadapron.wire.aio.service import EventRequest as EventRequest
    from leadapron.wire.aio.service import FindRequest as FindRequest
    from leadapron.wire.aio.service import GetRequest as GetRequest
    from leadapron.wire.aio.service import Instance as Instance
    from leadapron.wire.aio.service import MoveRequest as MoveRequest
    from leadapron.wire.aio.service import Progress as Progress
    from leadapron.wire.aio.service import Reply as Reply
    from leadapron.wire.aio.service import Service as Service
    from leadapron.wire.aio.service import SetRequest as SetRequest
    from leadapron.wire.aio.service import StoreRequest as StoreRequest
    from leadapron.wire.aio.timeouts import Timeouts as Timeouts
    from leadapron.wire.aio.tls import TlsInfo as TlsInfo
    from leadapron.wire.aio.tls import client_context as client_context
    from leadapron.wire.aio.tls import probe_context as probe_context
    from leadapron.wire.aio.tls import server_context as server_context
    from leadapron.wire.association.negotiate import AgreedContext as AgreedContext
    from leadapron.wire.association.negotiate import ContextRequest as ContextRequest
    from leadapron.wire.association.negotiate import Supported as Supported
    from leadapron.wire.association.negotiate import anyone as anyone
    from leadapron.wire.association.negotiate import choose as choose
    from leadapron.wire.association.negotiate import recognised as recognised

_HOMES: Final = {
    "aio.client": ("associate",),
    "aio.dataset": ("DataSet",),
    "aio.find": ("Find",),
    "aio.loop": ("run",),
    "aio.requestor": (
        "FindEnd",
        "Replied",
        "RequestorAssociation",
        "Retrieved",
    ),
    "aio.server": (
        "Server",
        "ServerLimits",
        "serve",
    ),
    "aio.service": (
        "ActionRequest",
        "Call",
        "CreateRequest",
        "EchoRequest",
        "Encoded",
        "EndWith",
        "EventRequest",
        "FindRequest",
        "GetRequest",
        "Instance",
        "MoveRequest",
        "Progress",
        "Reply",
        "Service",
        "SetRequest",
        "StoreRequest",
    ),
    "aio.timeouts": ("Timeouts",),
    "aio.tls": (
        "TlsInfo",
        "client_context",
        "probe_context",
        "server_context",
    ),
    "association.negotiate": (
        "AgreedContext",
        "ContextRequest",
        "Supported",
        "anyone",
        "choose",
        "recognised",
    ),
}
_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"leadapron.wire.{home}"), name)
    return value
