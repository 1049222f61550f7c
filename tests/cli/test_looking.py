"""``leadapron check``: what cannot be looked at is told, and keeps nobody from looking at the rest."""

from __future__ import annotations

from pathlib import Path

from leadapron.cli.looking import look
from leadapron.guard.settings import Archive, Guard
from peers.process import HOST, free_port


async def test_an_archive_whose_name_is_not_known(tmp_path: Path) -> None:
    settings = Guard(
        archive=Archive(host="archive.invalid", port=104, ae="PACS"),
        listen=f"{HOST}:{free_port()}",
        enrol=None,
    )
    guard, archive = await look(settings, None, timeout=1)
    assert (guard.place.role, guard.state, guard.detail) == ("guard", "not reached", "nothing listens there")
    assert (archive.place.role, archive.state) == ("archive", "not reached")
    assert "no address for the name archive.invalid" in archive.detail and "[guard.archive]" in (archive.advice or "")
