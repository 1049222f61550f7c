"""Real software of devices, with certificates of ours: DCMTK in each of its TLS profiles, both ways, and pynetdicom."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from pynetdicom import AE

from guard.identity.making import Guarded, guarded, issued
from leadapron.guard.identity import export
from leadapron.guard.identity.contexts import client_context, delivery_context, server_context
from leadapron.guard.identity.csr import new_key
from leadapron.guard.identity.registry import PeerIdentity, Refused, Registry
from leadapron.wire import uids
from leadapron.wire.aio import Call, ContextRequest, Service, Supported, anyone, associate, choose, serve
from leadapron.wire.association.reasons import CALLING_AE_NOT_RECOGNIZED
from leadapron.wire.pdu import AssociateAccept, AssociateReject
from peers.process import Peer, free_port, launch, run


class Door(Service):
    """Lets in whom the registry identifies, to say C-ECHO."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.echoes: list[PeerIdentity] = []

    async def on_associate(self, call: Call) -> AssociateAccept | AssociateReject:
        shown = call.tls.certificate if call.tls is not None else None
        found = self.registry.identify(shown, call.request.calling)
        if isinstance(found, Refused):
            return CALLING_AE_NOT_RECOGNIZED
        self.echoes.append(found)
        return choose(call.request, Supported({uids.VERIFICATION: (uids.IMPLICIT_LE,)}), anyone)


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guarded]:
    made = guarded(tmp_path / "guard")
    yield made
    made.registry.close()


def device(guard: Guarded, directory: Path, kind: str = "ec") -> list[str]:
    """A device's files, as DCMTK takes them."""
    export.write_pem(directory, issued(guard, "CT1", "CT1", key=new_key(kind)))
    files = [str(directory / name) for name in ("peer.key", "peer.pem", "authority.pem")]
    return ["+tls", *files[:2], "+cf", files[2]]


@pytest.mark.parametrize("kind", ["ec", "rsa"])
@pytest.mark.parametrize("profile", ["+py", "+px", "+pz"])  # non-downgrading BCP 195, BCP 195, extended BCP 195
async def test_dcmtk_comes_in(guard: Guarded, tmp_path: Path, kind: str, profile: str) -> None:
    files = device(guard, tmp_path / "ct1", kind)
    door = Door(guard.registry)
    async with serve("127.0.0.1", 0, door, tls=server_context(guard.home)) as server:
        for title, came in (("CT1", True), ("MR1", False)):
            command = ["echoscu", "-v", *files, profile, "-aet", title, "127.0.0.1", str(server.port)]
            ran = await asyncio.to_thread(partial(run, command, 30.0))
            assert (ran.returncode == 0) is came, ran.stdout
    assert [identity.name for identity in door.echoes] == ["CT1"]


@pytest.mark.parametrize("profile", ["+pa", "+pn"])  # retired: CBC, and no encryption at all
async def test_dcmtk_does_not_in_a_retired_profile(guard: Guarded, tmp_path: Path, profile: str) -> None:
    files = device(guard, tmp_path / "ct1", "rsa")
    async with serve("127.0.0.1", 0, Door(guard.registry), tls=server_context(guard.home)) as server:
        command = ["echoscu", *files, profile, "-aet", "CT1", "127.0.0.1", str(server.port)]
        assert (await asyncio.to_thread(partial(run, command, 30.0))).returncode != 0


async def test_dcmtk_without_its_certificate_does_not(guard: Guarded, tmp_path: Path) -> None:
    device(guard, tmp_path / "ct1")
    trust = ["+tla", "+cf", str(tmp_path / "ct1" / "authority.pem")]
    async with serve("127.0.0.1", 0, Door(guard.registry), tls=server_context(guard.home)) as server:
        ran = await asyncio.to_thread(run, ["echoscu", *trust, "127.0.0.1", str(server.port)])
        assert ran.returncode != 0


async def test_pynetdicom_comes_in(guard: Guarded, tmp_path: Path) -> None:
    device(guard, tmp_path / "ct1")
    tls = client_context(tmp_path / "ct1")
    async with serve("127.0.0.1", 0, Door(guard.registry), tls=server_context(guard.home)) as server:

        def echo() -> int:
            entity = AE("CT1")
            entity.add_requested_context(uids.VERIFICATION)
            association = entity.associate("127.0.0.1", server.port, tls_args=(tls, "guard.example"))
            assert association.is_established
            status = int(association.send_c_echo().Status)
            association.release()
            return status

        assert await asyncio.to_thread(echo) == 0


async def test_the_guard_delivers_to_dcmtk_and_knows_it(guard: Guarded, tmp_path: Path) -> None:
    """storescp with the device's files, which demands our certificate too."""
    home = tmp_path / "storescp"
    home.mkdir()
    files = device(guard, tmp_path / "ct1")
    with Peer("storescp", "CT1", free_port(), home) as peer:
        launch(peer, ["storescp", *files, "+py", "-aet", "CT1", str(peer.port)])
        contexts = [ContextRequest(uids.VERIFICATION)]
        async with associate(
            "127.0.0.1", peer.port, called="CT1", calling="GUARD", contexts=contexts, tls=delivery_context(guard.home)
        ) as association:
            tls = association.tls
            assert tls is not None
            found = guard.registry.identify(tls.certificate, "CT1")
            assert isinstance(found, PeerIdentity)
            await association.echo()
