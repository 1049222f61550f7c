"""Looking again at single exposures, at once: whether a server is closed now is what a case waits for.

It is a scan like any other, saved and folded, of just those endpoints; inside of the scope of the campaign that found
them, and of none for what somebody's own scan found, which leaves loopback.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from leadapron.kernel.errors import UsageError
from leadapron.watch.campaign.round import request_of
from leadapron.watch.campaign.settings import Campaign, Watch
from leadapron.watch.scan.run import ScanRequest, prepare, run
from leadapron.watch.track.database import open_engine
from leadapron.watch.track.exposures.model import Exposure
from leadapron.watch.track.exposures.store import Exposures


async def retest(location: str, exposure_ids: Collection[int], watch: Watch, *, scope: str | None = None) -> int:
    """Scan these exposures once more; gives the number of the scan, which is folded by then.

    ``scope``: a scope file instead of the campaign's. Raises ``UsageError`` for exposures that do not exist, that
    belong to campaigns with different scopes, or that the scope does not allow to be touched.
    """
    import asyncio

    request = await asyncio.to_thread(_request, location, exposure_ids, watch, scope)
    prepared = await prepare(request, location)
    await run(prepared)
    return prepared.writer.scan_id


def _request(location: str, exposure_ids: Collection[int], watch: Watch, scope: str | None) -> ScanRequest:
    engine = open_engine(location)
    try:
        found = Exposures(engine).some(list(exposure_ids))
    finally:
        engine.dispose()
    missing = set(exposure_ids) - {exposure.id for exposure in found}
    if missing or not found:
        if missing:
            raise UsageError(f"there is no exposure {min(missing)}; 'leadapron owner list' has them")
        raise UsageError("name an exposure to look at again")
    campaigns = {_campaign(exposure, watch) for exposure in found}
    scopes = {campaign.scope if campaign is not None else None for campaign in campaigns}
    if scope is None and len(scopes) > 1:
        raise UsageError("these exposures belong to campaigns with different scopes; look at them one after the other")
    own = next((campaign for campaign in campaigns if campaign is not None), Campaign(name="retest", targets=("-",)))
    return msgspec.structs.replace(
        request_of(msgspec.structs.replace(own, scope=scope or own.scope), location, watch),
        targets=tuple(str(exposure) for exposure in found),
        files=(),
        campaign=None,  # it is no round: rounds can be compared
    )


def _campaign(exposure: Exposure, watch: Watch) -> Campaign | None:
    return next((campaign for campaign in watch.campaign if campaign.name == exposure.campaign), None)
