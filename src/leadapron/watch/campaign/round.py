"""One round of a campaign: what the configuration says becomes a scan, or goes on with one that was interrupted.

A round that was killed, or stopped with the program, is taken up where it was left, unless the next one is due by then
or targets, ports or scope are not the same any more; then a new one begins. A round that another process is running is
left alone: no device is asked by two at once.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec
from msgspec import Struct

from leadapron.kernel.clock import Clock, SystemClock
from leadapron.kernel.errors import UsageError
from leadapron.watch.campaign.schedule import due
from leadapron.watch.campaign.settings import Campaign, Watch
from leadapron.watch.measure.dicom.visit import Options
from leadapron.watch.scan.run import DEFAULT_PORTS, ScanRequest
from leadapron.watch.scope import Allowed, Scope
from leadapron.watch.scope.addresses import Block, parse_block
from leadapron.watch.track.process import still_runs
from leadapron.watch.track.store import Store

STALE: Final = timedelta(days=7)
"""After which a round that was interrupted is not taken up, where no schedule says it."""

Left = Literal["none", "running", "interrupted", "failed"]


class Last(Struct, frozen=True):
    """The campaign's newest scan. ``left``: ``running`` in another process, ``interrupted`` and fit to be taken up, or
    ``failed`` and fit to be taken up once its cause is mended."""

    left: Left = "none"
    scan_id: int | None = None
    begun: datetime | None = None
    process: int | None = None


def request_of(campaign: Campaign, location: str, watch: Watch, *, resume: bool = False) -> ScanRequest:
    """The scan that a round is. Raises ``ScopeError`` for a scope that cannot be read."""
    return ScanRequest(
        targets=campaign.targets or (() if campaign.files else _included(campaign)),
        files=campaign.files,
        scope=campaign.scope,
        ports=campaign.ports or DEFAULT_PORTS,
        options=Options(
            depth=campaign.depth,
            timeout=campaign.timeout,
            max_requests=campaign.max_requests,
            patience=campaign.patience,
        ),
        rate=campaign.rate,
        network_rate=campaign.network_rate,
        location=location,
        campaign=campaign.name,
        closed_after=watch.closed_after,
        resume=resume,
    )


def _included(campaign: Campaign) -> tuple[str, ...]:
    """All that the scope includes; what it excludes is left out when the targets are judged."""
    assert campaign.scope is not None
    file = Scope.load(campaign.scope).file
    return () if file is None else tuple(entry.text for entry in file.include)


def hindrance(campaign: Campaign) -> str | None:
    """Why no round of it can begin as things stand: its scope, a file of targets, targets that the scope does not
    allow. None where nothing of that is wrong; no name is looked up."""
    try:
        scope = Scope.loopback_only() if campaign.scope is None else Scope.load(campaign.scope)
        blocks = [parse_block(target) for target in campaign.targets]
    except UsageError as error:
        return str(error)
    if scope.expired and scope.file is not None:
        return f"its scope ended {scope.file.valid_until:%Y-%m-%d %H:%M} UTC; have {campaign.scope} renewed"
    for file in campaign.files:
        if not os.path.isfile(file):
            return f"there is no file {file}, which it takes its targets from"
    if campaign.files or not blocks or any(block is None or _some(scope, block) for block in blocks):
        return None
    return "nothing that it names may be scanned" + ("; it has no scope" if campaign.scope is None else "")


def _some(scope: Scope, block: Block) -> bool:
    return any(isinstance(verdict, Allowed) for _, _, verdict in scope.between(*block))


def last_of(store: Store, campaign: Campaign, clock: Clock | None = None) -> Last:
    """How the campaign's newest scan stands."""
    newest = next(iter(store.rounds(campaign.name, 1)), None)
    if newest is None:
        return Last()
    begun, now = datetime.fromisoformat(newest.started_at), (clock or SystemClock()).now()
    if newest.state == "running" and (process := still_runs(newest.process)) is not None:
        return Last("running", newest.id, begun, process)
    late = due(campaign, begun, now)
    if newest.state == "done" or now >= (begun + STALE if late is None else late):
        return Last("none", newest.id, begun)
    return Last("failed" if newest.state == "failed" else "interrupted", newest.id, begun)


def alone(store: Store, campaign: Campaign) -> None:
    """Raises ``UsageError`` where another process runs a round of this campaign."""
    last = last_of(store, campaign)
    if last.left == "running":
        raise UsageError(
            f"a round of {campaign.name} runs already, as scan {last.scan_id} in process {last.process}; "
            "wait for its end, or pause it: leadapron campaign pause " + campaign.name
        )


def anew(request: ScanRequest) -> ScanRequest:
    """The same from its beginning."""
    return msgspec.structs.replace(request, resume=False)
