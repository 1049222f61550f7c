"""Writing a ``[[guard.peer]]`` table into ``leadapron.toml``, and leaving every other octet of it as it was.

The file belongs to whoever wrote it: comments, order and blank lines stay, so a table is put at the end (TOML takes a
table of a list anywhere) and nothing is written that the policy would not read. The file is replaced whole, so a guard
that reloads it in that moment sees the one or the other.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit

from leadapron.guard.policy.decide import Policy, parse_policy
from leadapron.guard.policy.file import read
from leadapron.kernel.errors import Failure, UsageError
from leadapron.kernel.files import write_whole


def with_peer(text: str, values: Mapping[str, Any], where: str) -> str:
    """``text`` with one more table; a value of None or an empty list is left out. ``where``: the file's name.

    Raises `UsageError` for a name or an AE title that another peer has, and for values that no peer can have.
    """
    policy = parse_policy(text, where)
    _refuse_twin(policy, str(values["name"]), str(values["ae"]), where)
    table = tomlkit.table()
    for key, value in values.items():
        if value is not None and value != ():
            table.add(key, list(value) if isinstance(value, tuple) else value)
    tables = tomlkit.aot()
    tables.append(table)
    guard = tomlkit.table(is_super_table=True)
    guard.add("peer", tables)
    document = tomlkit.document()
    document.add("guard", guard)
    gap = "" if not text or text.endswith("\n\n") else "\n" if text.endswith("\n") else "\n\n"
    changed = text + gap + tomlkit.dumps(document)
    parse_policy(changed, where)
    return changed


def add_peer(path: Path, values: Mapping[str, Any]) -> None:
    """`with_peer` for a file. Raises `UsageError`, `Failure`; the file stands as it was then.

    Mode, user and group stay: behind ``sudo`` it would else become root's, and a guard that runs as a user of its own
    could not read it any more."""
    text = with_peer(read(path), values, str(path))
    target = path.resolve()
    try:
        was = os.stat(target)
        write_whole(target, text.encode(), mode=stat.S_IMODE(was.st_mode), owner=(was.st_uid, was.st_gid))
    except OSError as error:
        raise Failure(f"cannot write {path}: {error.strerror}; it stands as it was") from None


def _refuse_twin(policy: Policy, name: str, ae: str, where: str) -> None:
    for peer in policy.peers:
        if peer.rules.name.casefold() == name.casefold():
            raise UsageError(
                f"{where}:{peer.line('name').number}: the peer {peer.rules.name} stands there already; a further code "
                "for it: --again"
            )
    other = policy.by_ae(ae)
    if other is not None:
        raise UsageError(f"the AE title {ae} is that of the peer {other.name}; each machine has its own")
