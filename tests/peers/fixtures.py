"""The fixtures: factories of real peers that end with the test.

    def test_something(orthanc, sample):
        peer = orthanc({"DicomCheckCalledAet": True})
        load(peer, sample)

For a peer that a whole module shares, write a fixture of that scope around ``with start_orthanc(directory) as peer``.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from peers.certificates import Certificates, issue
from peers.process import Peer
from peers.samples import sample_files
from peers.servers import start_dcmqrscp, start_orthanc, start_qrscp, start_storescp

Factory = Callable[..., Peer]


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A certificate authority of this session, with a server's and a client's certificate."""
    return issue(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def sample() -> list[Path]:
    """pydicom's real, uncompressed images (see ``samples.sample_files``)."""
    return sample_files()


@contextlib.contextmanager
def _factory(start: Callable[..., Peer], tmp_path: Path, name: str) -> Iterator[Factory]:
    numbers = itertools.count(1)
    with contextlib.ExitStack() as stack:

        def make(*arguments: Any, **options: Any) -> Peer:
            peer = start(tmp_path / f"{name}-{next(numbers)}", *arguments, **options)
            stack.callback(peer.stop)
            return peer

        yield make


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Factory]:
    """``orthanc(overrides=None, *, ae, destinations, tls, mutual) -> Peer``; see ``servers.start_orthanc``."""
    with _factory(start_orthanc, tmp_path, "orthanc") as make:
        yield make


@pytest.fixture
def storescp(tmp_path: Path) -> Iterator[Factory]:
    """``storescp(*options, ae, tls, mutual) -> Peer``; see ``servers.start_storescp``."""
    with _factory(start_storescp, tmp_path, "storescp") as make:
        yield make


@pytest.fixture
def dcmqrscp(tmp_path: Path) -> Iterator[Factory]:
    """``dcmqrscp(*options, ae, destinations, callers, …, tls, mutual) -> Peer``; see ``servers.start_dcmqrscp``."""
    with _factory(start_dcmqrscp, tmp_path, "dcmqrscp") as make:
        yield make


@pytest.fixture
def qrscp(tmp_path: Path) -> Iterator[Factory]:
    """``qrscp(*options, ae, destinations) -> Peer``; see ``servers.start_qrscp``."""
    with _factory(start_qrscp, tmp_path, "qrscp") as make:
        yield make
