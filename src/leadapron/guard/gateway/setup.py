"""A guard from nothing: its part of ``leadapron.toml``, its authority, its certificate and one set-up secret.

No credential exists before this, and none that works for two installations exists after it. What is written can be read
and changed by hand: comments in the file say what each line does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import tomlkit
from msgspec import Struct
from tomlkit.exceptions import ParseError

from leadapron.guard.audit.console import console_user
from leadapron.guard.identity.authority import PEM_FILE, Authority
from leadapron.guard.identity.people import People
from leadapron.guard.identity.renewal import install_server
from leadapron.guard.policy.permission import Permission
from leadapron.guard.settings import load_guard
from leadapron.kernel.errors import Failure, UsageError
from leadapron.kernel.files import private_directory, write_whole
from leadapron.kernel.hostport import HostPort
from leadapron.kernel.paths import data_dir
from leadapron.kernel.seal import key_file

HOME: Final = "guard"
"""The guard's directory within the data directory."""
KEY_FILE: Final = "guard.key"
EVERYTHING: Final = tuple(permission for permission in Permission if permission.surface in ("web", "admin"))


class Plan(Struct, frozen=True, kw_only=True):
    """What is to be set up. ``names``: under which peers reach the guard; ``data`` None: the user's data directory."""

    archive: HostPort
    archive_ae: str
    names: tuple[str, ...]
    listen: HostPort
    enrol: HostPort
    back: HostPort | None = None
    web: HostPort | None = None
    archive_web: str | None = None
    web_kind: str = "dicomweb"
    data: str | None = None


class Made(Struct, frozen=True):
    """What there is now. ``secret`` makes the first person, once."""

    config: Path
    home: Path
    fingerprint: str
    secret: str


def guard_home(data: str | Path | None) -> Path:
    """The guard's directory, made where it is missing. Raises `Failure`."""
    home = data_dir(data) / HOME
    try:
        return private_directory(home)
    except OSError as error:
        raise Failure(
            f"cannot make {home}: {error.strerror}. Choose a directory that you may write to: --data DIR"
        ) from None


def set_up(plan: Plan, config: Path) -> Made:
    """Write everything. Raises UsageError where a guard is configured already, and changes nothing then."""
    before = _present(config)
    home = guard_home(plan.data)
    if (home / PEM_FILE).exists():
        raise UsageError(
            f"{home} holds a guard's authority already. To go on with it, keep its leadapron.toml; "
            "for another guard choose another directory: --data DIR"
        )
    text = _merged(before, plan)
    _write(config, text)
    try:
        load_guard(config, {})  # what is written must be readable
        key_file(home / KEY_FILE)
        authority = Authority.create(home, f"Lead Apron guard of {plan.names[0]}")
        install_server(home, authority, plan.names)
        with People(home) as people:
            secret = people.manage.setup_secret(EVERYTHING, console_user().user)
    except BaseException:
        _take_back(config, before)
        raise
    return Made(config.absolute(), home, authority.fingerprint, secret)


def _present(config: Path) -> str | None:
    try:
        text = config.read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {config}: {getattr(error, 'strerror', None) or 'it is not text'}") from None
    try:
        present: Mapping[str, object] = tomlkit.parse(text)
    except ParseError as error:
        raise UsageError(f"{config} is not valid TOML: {error}") from None
    if "guard" in present:
        raise UsageError(
            f"{config} has a section [guard] already; change it there, or name another file: --config FILE"
        )
    return text


def _merged(before: str | None, plan: Plan) -> str:
    if before is None:
        data = "" if plan.data is None else f"data = {_quoted(str(Path(plan.data).expanduser().absolute()))}\n\n"
        return data + render(plan)
    document = tomlkit.parse(before)
    if plan.data is not None:
        document["data"] = str(Path(plan.data).expanduser().absolute())
    return tomlkit.dumps(document).rstrip("\n") + "\n\n" + render(plan)


def _write(config: Path, text: str) -> None:
    try:
        config.parent.mkdir(parents=True, exist_ok=True)
        write_whole(config, text.encode())
    except OSError as error:
        raise Failure(f"cannot write {config}: {error.strerror}; choose another place: --config FILE") from None


def _take_back(config: Path, before: str | None) -> None:
    if before is None:
        config.unlink(missing_ok=True)
    else:
        write_whole(config, before.encode())


def render(plan: Plan) -> str:
    """The section ``[guard]`` with a word on each line."""
    lines = [
        "# The guard: a lock in front of the archive below. Who has no certificate of its authority stays outside.",
        "[guard]",
        f"listen = {_quoted(str(plan.listen))}  # DICOM over TLS with certificates on both sides",
        f"enrol = {_quoted(str(plan.enrol))}  # where a peer redeems its one-time code",
        f"names = [{', '.join(map(_quoted, plan.names))}]  # how peers reach this machine, for its certificate",
        "",
        "[guard.archive]  # the archive behind it: let nobody but this machine connect there (firewall)",
        f"host = {_quoted(plan.archive.host)}",
        f"port = {plan.archive.port}",
        f"ae = {_quoted(plan.archive_ae)}",
    ]
    if plan.back is not None:
        lines.append(f"back = {_quoted(str(plan.back))}  # where the archive sends what peers behind the guard move")
    if plan.archive_web is not None:
        lines += [f"web = {_quoted(plan.archive_web)}", f"web_kind = {_quoted(plan.web_kind)}"]
    if plan.web is not None:
        lines += ["", "[guard.web]  # pages and DICOMweb, behind a login", f"listen = {_quoted(str(plan.web))}"]
    lines += [
        "",
        "# Each machine that may come in has a table like this one. 'leadapron peer enrol' writes it.",
        "# [[guard.peer]]",
        '# name = "CT1"',
        '# ae = "CT1"',
        '# may = ["store", "echo"]',
        "",
    ]
    return "\n".join(lines)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # a TOML basic string has JSON's escapes
