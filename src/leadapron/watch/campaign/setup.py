"""From nothing to a watch that runs: writes the sections of ``leadapron.toml`` that ``leadapron up`` needs for it.

What stands in the file already stays as it is, comments too; a campaign more is added behind it. What is written says
in a word what each line means, and what only a person can know (who writes the notices) is asked for by commented lines
and not made up.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import tomlkit
from msgspec import Struct
from tomlkit.exceptions import ParseError

from leadapron.kernel.errors import Failure, UsageError
from leadapron.kernel.files import write_whole
from leadapron.watch.campaign.settings import load_watch
from leadapron.watch.scope import Scope


class Plan(Struct, frozen=True, kw_only=True):
    """``scope`` a scope file, ``targets`` as for a scan: one of them at least. ``console``: where pages are served."""

    name: str
    scope: Path | None = None
    targets: tuple[str, ...] = ()
    every: str = "7d"
    at: str | None = None
    depth: str = "count"
    console: str = "127.0.0.1:8484"
    data: Path | None = None


def set_up(plan: Plan, config: Path) -> None:
    """Write it. Raises `UsageError` where a campaign of that name exists, or what is asked cannot be meant; the file is
    then as it was."""
    before = _text(config)
    if plan.scope is not None:
        Scope.load(plan.scope)  # what cannot be read is said now, not in the night
    present: Mapping[str, object] = tomlkit.parse(before) if before else {}
    text = "\n".join([*_head(plan, present), *_campaign(plan, config), *_rest(plan, present)])
    whole = text if not before else before.rstrip("\n") + "\n\n" + text
    _write(config, whole)
    try:
        load_watch(config, {})
    except BaseException:
        if before:
            _write(config, before)
        else:
            config.unlink()
        raise


def _head(plan: Plan, present: Mapping[str, object]) -> list[str]:
    lines = []
    if not present and plan.data is not None:
        lines += [f"data = {_quoted(str(plan.data.expanduser().absolute()))}", ""]
    if "watch" not in present:
        lines += [
            "# The watch: campaigns that are scanned round after round, and what each round changed.",
            "[watch]",
            "closed_after = 2  # so many answers in a row must prove that a server is closed; silence proves nothing",
            "",
        ]
    return lines


def _campaign(plan: Plan, config: Path) -> list[str]:
    lines = ["[[watch.campaign]]", f"name = {_quoted(plan.name)}"]
    if plan.scope is not None:
        lines.append(f"scope = {_quoted(str(plan.scope.absolute()))}  # on whose word, and until when")
    if plan.targets:
        lines.append(f"targets = [{', '.join(map(_quoted, plan.targets))}]")
    lines.append(f"depth = {_quoted(plan.depth)}")
    lines.append(f"every = {_quoted(plan.every)}")
    if plan.at is not None:
        lines.append(f"at = {_quoted(plan.at)}")
    return [*lines, ""]


def _rest(plan: Plan, present: Mapping[str, object]) -> list[str]:
    lines = []
    if "console" not in present:
        lines += [
            "# Pages with what the watch found; off loopback they need TLS and a login.",
            "[console]",
            f"listen = {_quoted(plan.console)}",
            "",
        ]
    if "lookups" not in present:
        lines += [
            "# Whose server it may be. Reverse DNS and RDAP are asked; your own MaxMind files say country and network.",
            "[lookups]",
            '# countries = "GeoLite2-Country.mmdb"',
            '# networks = "GeoLite2-ASN.mmdb"',
            "",
        ]
    if "notices" not in present:
        lines += [
            "# Who writes to owners. Nothing is written before all of these are there, and nothing is sent before a",
            "# person has approved it.",
            "[notices]",
            '# organisation = "CERT Example"',
            '# from = "open-images@cert.example"',
            '# reply_to = "open-images@cert.example"',
            '# page = "https://cert.example/open-images"',
            '# opt_out = "opt-out@cert.example"',
            '# smtp = "mail.cert.example:587"',
            "",
        ]
    return lines


def _text(config: Path) -> str:
    try:
        text = config.read_text("utf-8")
        tomlkit.parse(text)
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {config}: {getattr(error, 'strerror', None) or 'it is not text'}") from None
    except ParseError as error:
        raise UsageError(f"{config} is not valid TOML: {error}") from None
    return text


def _write(config: Path, text: str) -> None:
    try:
        config.parent.mkdir(parents=True, exist_ok=True)
        write_whole(config, text.encode())
    except OSError as error:
        raise Failure(f"cannot write {config}: {error.strerror}; choose another place: --config FILE") from None


def _quoted(text: str) -> str:
    """A TOML basic string: JSON's escapes are among TOML's."""
    return json.dumps(text, ensure_ascii=False)
