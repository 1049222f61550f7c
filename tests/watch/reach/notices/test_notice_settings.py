"""The section [notices]: what it takes, what it refuses, and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from leadapron.kernel.errors import UsageError
from leadapron.watch.reach.notices.settings import Notices, load_notices

GOOD = """
[notices]
organisation = "Example CERT"
from = "open-images@cert.example"
reply_to = "answers@cert.example"
page = "https://cert.example/open-images"
opt_out = "optout@cert.example"
postal = \"\"\"
Example Street 1
12345 Town\"\"\"
smtp = "mail.cert.example"
arms = ["sender", "medium"]
[[notices.sender]]
name = "cert"
[[notices.sender]]
name = "university"
organisation = "Example University"
from = "pacs@uni.example"
"""


def load(tmp_path: Path, text: str, **environment: str) -> Notices:
    file = tmp_path / "leadapron.toml"
    file.write_text(text, "utf-8")
    return load_notices(file, environment)


def test_all_of_it(tmp_path: Path) -> None:
    settings = load(tmp_path, GOOD, LEADAPRON_NOTICES__PER_DOMAIN="3", LEADAPRON_NOTICES__FROM="x@cert.example")
    settings.require()
    assert (settings.from_, settings.per_domain, settings.server()) == ("x@cert.example", 3, ("mail.cert.example", 587))
    university = settings.by("university")
    assert (university.organisation, university.from_) == ("Example University", "pacs@uni.example")
    assert (university.reply_to, university.page) == (settings.reply_to, settings.page)
    assert settings.by("nobody") == settings.by(None) == settings


def test_nothing_at_all(tmp_path: Path) -> None:
    settings = load(tmp_path, "")
    with pytest.raises(UsageError, match="organisation, from, reply_to, page, opt_out"):
        settings.require()
    with pytest.raises(UsageError, match="smtp"):
        settings.server()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"open-images@cert.example"', '"Ada <ada@cert.example>"', "plain mailbox"),
        ('"optout@cert.example"', '"optout"', "plain mailbox"),
        ('"optout@cert.example"', '"Open-Images@cert.example"', "a mailbox of its own"),
        ('"https://cert.example/open-images"', '"cert.example"', "web page"),
        ('"Example CERT"', '"Example\\nBcc: CERT"', "one line"),
        ('smtp = "mail.cert.example"', 'smtp = "mail.cert.example"\ntls = "none"', "on this machine"),
        ('smtp = "mail.cert.example"', 'smtp = "mail.cert.example"\nuser = "x"', "belong together"),
        ('smtp = "mail.cert.example"', 'smtp = "mail:cert:x"', "HOST:PORT|neither"),
        ('smtp = "mail.cert.example"', "per_hour = 0", "from 1 to"),
        ('smtp = "mail.cert.example"', "timeout_s = 0.0", "from 1 to"),
        ('smtp = "mail.cert.example"', 'languages = ["en", "xx"]', "'xx' does not exist"),
        ('smtp = "mail.cert.example"', "languages = []", "empty"),
        ('["sender", "medium"]', '["colour"]', "'colour' does not exist"),
        ('name = "university"', 'name = "cert"', "two of them"),
        ('name = "university"', 'name = "a b"', "short word"),
        ('smtp = "mail.cert.example"', 'smpt = "mail.cert.example"', "smtp"),
    ],
)
def test_what_cannot_be_meant(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in GOOD
    with pytest.raises(UsageError, match=says):
        load(tmp_path, GOOD.replace(old, new))
