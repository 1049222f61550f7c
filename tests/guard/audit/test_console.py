"""Who did it, of what the command line does: the operating system's user."""

from __future__ import annotations

import os
import pwd
from datetime import UTC, datetime
from pathlib import Path

import pytest
from lxml import etree

from guard.audit.happenings import NOW
from leadapron.guard.audit.codes import Alert
from leadapron.guard.audit.console import console_user
from leadapron.guard.audit.events import SecurityAlert
from leadapron.guard.audit.message import Source, message
from leadapron.guard.gateway.told import of_people
from leadapron.guard.identity.people.model import Event, Kind

SCHEMA = etree.RelaxNG(etree.parse(Path(__file__).with_name("audit-message.rng")))


def test_it_is_the_user_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_UID", raising=False)
    monkeypatch.setenv("LOGNAME", "somebody-else")
    found = console_user()
    assert found.user == f"local:{pwd.getpwuid(os.getuid()).pw_name}" and found.name == f"uid {os.getuid()}"


def test_behind_sudo_it_is_who_called_it(monkeypatch: pytest.MonkeyPatch) -> None:
    other = next(entry for entry in pwd.getpwall() if entry.pw_uid != 0)
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setenv("SUDO_UID", str(other.pw_uid))
    found = console_user()
    assert (found.user, found.name) == (f"local:{other.pw_name}", f"uid {other.pw_uid}, as root through sudo")
    for nonsense in ("", "x", "-1", "99999999999999999999"):
        monkeypatch.setenv("SUDO_UID", nonsense)
        assert console_user().user.startswith("local:")
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    monkeypatch.setenv("SUDO_UID", "0")
    assert "root" not in console_user().user, "anybody could say that root did it"


@pytest.mark.parametrize("name", ["", "Curie"])
def test_it_stands_in_the_message_and_not_nobody(name: str) -> None:
    done = Event(
        kind=Kind.ACCOUNT,
        person=name,
        source="",
        success=True,
        how="console",
        when=datetime.now(UTC),
        reason="added",
        by=console_user().user,
    )
    alert = of_people(done)
    assert isinstance(alert, SecurityAlert) and alert.kind is Alert.USER_ATTRIBUTES_CHANGED
    assert [one.user for one in alert.performers] == [console_user().user]
    text = message(alert, Source("guard"), NOW).decode()
    SCHEMA.assertValid(etree.fromstring(text))
    assert "nobody" not in text and 'UserID="local:' in text and name in text
