"""Every command in README.md, CONTRIBUTING.md, SECURITY.md and docs/*.md is run, as it stands there.

A fenced block marked ``sh`` holds commands, ``console`` commands behind ``$ `` and what they print, ``crontab`` lines
of five fields and a command; the other kinds that may stand there hold none (``NO_COMMANDS``). Each command has a line
in ``HOW`` that says how it is run. One that has none fails, and so does a line of ``HOW`` whose command is gone.

The commands of a page run one after the other in a directory of their own, with a small neighbourhood running. Wherever
a page names the demo's network or an invented one, that neighbourhood's stands in for it: nothing leaves loopback.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from leadapron.lab import ArchiveSpec, EndpointSpec, LabProcess, Population

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
NO_COMMANDS = {"toml", "python", "json", "text", ""}
NETWORK = f"127.{100 + os.getpid() % 100}.{os.getpid() // 100 % 256}."
STAND_INS = ("127.1.0.", "10.20.0.", "192.168.1.")
MINUTE = 60


@dataclass
class Session:
    """Where the commands of one page run."""

    home: Path

    def environment(self) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "LEADAPRON_"))
        }
        return kept | {
            "PATH": f"{self.home / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.home),
            "XDG_DATA_HOME": str(self.home / "data"),
            "COLUMNS": "100",
        }

    def start(self, command: str | list[str], **pipes: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            shell=isinstance(command, str),
            cwd=self.home,
            env=self.environment(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **(pipes or {"stdin": subprocess.DEVNULL}),
        )

    def end(self, process: subprocess.Popen[str], code: int = 0) -> str:
        try:
            out, err = process.communicate(timeout=MINUTE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        assert process.returncode == code, f"{process.args}: {process.returncode}\n{out}\n{err}"
        assert "Traceback" not in err
        return out + err


@dataclass(frozen=True)
class Run:
    """Run it. ``says``: what its output must hold; ``makes``: a file that must be there and hold something."""

    says: str = ""
    makes: str = ""

    def go(self, command: str, session: Session) -> None:
        if self.makes:
            (session.home / self.makes).unlink(missing_ok=True)
        said = session.end(session.start(command))
        assert self.says in said, said
        assert not self.makes or (session.home / self.makes).stat().st_size


@dataclass(frozen=True)
class Asked(Run):
    """Run it at a terminal, and answer its questions."""

    answers: tuple[str, ...] = ()

    def go(self, command: str, session: Session) -> None:
        ours, its = os.openpty()
        process = session.start(command, stdin=its)
        os.close(its)
        os.write(ours, "".join(f"{answer}\n" for answer in self.answers).encode())
        said = session.end(process)
        os.close(ours)
        assert said.count(": ") >= len(self.answers), said
        assert self.says in said and (session.home / self.makes).stat().st_size


@dataclass(frozen=True)
class UntilStopped:
    """Run it with ``more`` arguments, wait until it says ``says``, press Ctrl-C."""

    says: str
    more: str = ""

    def go(self, command: str, session: Session) -> None:
        process = session.start([*shlex.split(command, comments=True), *shlex.split(self.more)])
        assert process.stdout is not None
        said = ""
        while self.says not in said:
            line = process.stdout.readline()
            assert line, f"{command} ended: {said} {session.end(process)}"
            said += line
        process.send_signal(signal.SIGINT)
        session.end(process)


@dataclass(frozen=True)
class Make:
    """The target exists and comes to ``does``. ``runs`` in the file ``by`` is how CI does the same; where it does not
    (hours, or it changes the tree), a dry run is all there is."""

    does: str
    by: str = ""
    runs: str = ""

    def go(self, command: str, session: Session) -> None:
        words = shlex.split(command)
        if len(words) > 1:
            words += ["--dry-run", "--always-make"]
        done = subprocess.run(
            words, cwd=ROOT, env=session.environment(), capture_output=True, text=True, timeout=MINUTE, check=False
        )
        assert done.returncode == 0, done.stderr
        assert self.does in done.stdout, done.stdout
        assert not self.by or self.runs in (ROOT / self.by).read_text("utf-8")


@dataclass(frozen=True)
class Elsewhere:
    """A test of its own runs it."""

    test: str

    def go(self, command: str, session: Session) -> None:
        path, function = self.test.split("::")
        assert f"def {function}(" in (ROOT / path).read_text("utf-8"), f"{self.test} is gone"


@dataclass(frozen=True)
class Untried:
    """It needs what no installed peer has. The page must say ``tried``, what was, and ``needs``."""

    tried: str
    needs: str

    def go(self, command: str, session: Session) -> None:
        assert any(self.tried in text and self.needs in text for text in map(Path.read_text, PAGES))


How = Run | UntilStopped | Make | Elsewhere | Untried
HOSPITAL = "leadapron scan 10.20.0.0/24 --scope hospital.toml"
WALK = "tests/guard/test_walk.py"
REMEDIES = "tests/watch/measure/test_remedies.py"
NEXT_MONTH = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()

HOW: dict[str, dict[str, How]] = {
    "README.md": {
        "make demo": Make(".venv/bin/leadapron demo", "tests/cli/test_demo.py", '"-m", "leadapron", "demo"'),
        "make test": Make(".venv/bin/python -m pytest", ".ci/run", "make test"),
        "leadapron scope new practice.toml --include 192.168.1.0/24": Asked(
            answers=("Dr. Ada Muster", "it@practice.example", NEXT_MONTH), makes="practice.toml"
        ),
        "leadapron scan 192.168.1.0/24 --scope practice.toml": Run("2 endpoints give patient records"),
        "leadapron report --report practice.html": Run(makes="practice.html"),
        "leadapron init guard --archive 192.168.1.10:104 --archive-ae PACS --name guard.example.org": Elsewhere(
            f"{WALK}::test_init_says_what_is_next_and_leaves_what_is_there"
        ),
        "leadapron up": Elsewhere(f"{WALK}::practice"),
        "leadapron peer enrol CT1 --ae CT1 --may store,echo": Elsewhere(f"{WALK}::keys"),
        "leadapron peer join CODE": Elsewhere(f"{WALK}::keys"),
        "leadapron check": Elsewhere(f"{WALK}::test_strangers_stay_outside"),
        "leadapron init watch --scope practice.toml --every 7d": Run("leadapron scan --campaign watch"),
        "leadapron cases": Run(),
        "leadapron notices": Run(),
    },
    "docs/guard-peers.md": {
        "leadapron peer enrol CT1 --ae CT1 --may store,echo": Elsewhere(f"{WALK}::keys"),
        "leadapron peer join guard.example:2780/7ZK4-M0QH-…": Elsewhere(f"{WALK}::keys"),
    },
    "docs/guard.md": {
        "leadapron init guard --archive 192.168.1.10:104 --archive-ae PACS --name guard.example.org": Elsewhere(
            f"{WALK}::test_init_says_what_is_next_and_leaves_what_is_there"
        ),
        "leadapron up": Elsewhere(f"{WALK}::practice"),
        "leadapron peer enrol CT1 --ae CT1 --may store,echo": Elsewhere(f"{WALK}::keys"),
        "leadapron peer join CODE": Elsewhere(f"{WALK}::keys"),
        "leadapron check": Elsewhere(f"{WALK}::test_strangers_stay_outside"),
    },
    "docs/autumn-2019.md": dict.fromkeys(
        (
            "leadapron lab autumn-2019 --scale 0.001 --targets targets.txt --countries lab.mmdb",
            "leadapron scan --from targets.txt",
            "leadapron lab autumn-2019 --wave 2 --scale 0.001 --targets later.txt",
            "leadapron scan --from targets.txt --from later.txt",
            "leadapron report --compare 1",
        ),
        Elsewhere("tests/lab/history/test_replayed.py::test_the_page_as_it_stands"),
    ),
    "docs/guard-audit.md": {
        "leadapron audit prune --older-than 2190": Elsewhere("tests/guard/audit/test_prune.py::test_the_command"),
    },
    "docs/cases.md": dict.fromkeys(
        (
            "leadapron cases",
            "leadapron cases --all --state notified",
            "leadapron cases show 4",
            'leadapron cases confirm 4 --organisation "Example Clinic" --mailbox it@clinic.example --country DE',
            "leadapron cases follow",
        ),
        Elsewhere("tests/cli/test_cases.py::test_from_an_empty_list_to_a_draft"),
    ),
    "docs/notices.md": dict.fromkeys(
        (
            "leadapron notices --state draft",
            "leadapron notices show 7",
            "leadapron notices approve 7 8 9",
            "leadapron notices send",
            "leadapron notices read-mail",
            "leadapron notices resolve 7 --sent",
            "leadapron notices resolve 7 --not-sent",
            "leadapron notices letter 8 --output letter-8.pdf",
            "leadapron notices resolve 8 --sent",
            "leadapron notices preview 4 --purpose escalation --level operator",
            "leadapron notices draft 4 --purpose first --channel letter",
            "leadapron notices draft 4 --purpose escalation --level regulator --to complaints@authority.example",
            'leadapron notices edit 7 --subject "Your archive" --body text.txt',
            'leadapron notices drop 7 --why "they called"',
            "leadapron notices arms",
            "leadapron notices arms --days 30 --format json",
        ),
        Elsewhere("tests/cli/test_notices.py::test_from_preview_to_answer"),
    ),
    "docs/console.md": {
        "leadapron user add anna --invite --may console:view,console:work": Elsewhere(
            "tests/cli/test_watch_runs.py::test_people_can_be_let_in_before_anything_runs"
        ),
        "leadapron user add anna --oidc anna@example.org --may console:view,console:work": Elsewhere(
            "tests/console/test_sign_on.py::test_somebody_whom_the_provider_knows_and_we_do"
        ),
    },
    "docs/owners.md": dict.fromkeys(
        (
            "leadapron owner list",
            "leadapron owner look-up 192.0.2.7:104",
            "leadapron owner look-up --all",
            "leadapron owner show 12",
            "leadapron owner confirm 31",
            'leadapron owner reject 32 --by "A. Person"',
            'leadapron owner add 12 organisation "Example Clinic" --source telephone',
        ),
        Elsewhere("tests/cli/test_owner.py::test_ask_look_confirm_reject_and_note"),
    ),
    "CONTRIBUTING.md": {
        "make": Make("make demo"),
        "make check": Make("mypy", ".ci/run", "make check"),
        "make test": Make("-m pytest", ".ci/run", "make test"),
        "make format": Make("ruff format .", "Makefile", "ruff format --check ."),
        "make docs": Make("tests/docs/test_pages.py"),
        "make bench": Make("-m bench"),
        "make fuzz": Make("fuzz/fuzz_"),
    },
    "docs/findings.md": {
        "dcmqrscp -dhl --move-aetitle -c /etc/dcmtk/dcmqrscp.cfg": Elsewhere(
            f"{REMEDIES}::test_dcmqrscp_answers_the_devices_in_its_table_only"
        ),
        "storescp +tls /etc/dcmtk/tls/server.key /etc/dcmtk/tls/server.crt +cf /etc/dcmtk/tls/authority.crt -rc "
        "-od /var/lib/dcmtk/received 2762": Elsewhere(f"{REMEDIES}::test_storescp_asks_for_certificates"),
        "dcmqrscp +tls /etc/dcmtk/tls/server.key /etc/dcmtk/tls/server.crt +cf /etc/dcmtk/tls/authority.crt -rc "
        "-c /etc/dcmtk/dcmqrscp.cfg": Untried("dcmqrscp and storescp 3.6.7 (Debian 12)", "`dcmqrscp` of DCMTK 3.6.9"),
    },
    "docs/lab.md": {
        "leadapron lab": UntilStopped("leadapron scan", more="street.toml"),
        "leadapron scan 127.1.0.0/24": Run("2 endpoints give patient records"),
    },
    "docs/scanning.md": {
        "leadapron lab": UntilStopped("leadapron scan", more="street.toml"),
        "leadapron scan 127.1.0.0/24": Run("2 endpoints give patient records"),
        "leadapron scope new hospital.toml --include 10.20.0.0/24 --exclude 10.20.0.7 "
        '--authorised-by "Dr. Ada Muster, head of IT" --contact it-security@hospital.example --until 2099-12-31': Run(
            makes="hospital.toml"
        ),
        "leadapron scope show hospital.toml 10.20.0.5 10.20.0.7": Run("refused: exclude"),
        HOSPITAL: Run("1 endpoint gives patient records"),
        "nmap -n -p 104,4242,11112 -oX hosts.xml 10.20.0.0/24": Run(makes="hosts.xml"),
        "leadapron scan --from hosts.xml --scope hospital.toml": Run("1 endpoint gives patient records"),
        f"{HOSPITAL} --depth capabilities": Run("serves any stranger"),
        f"{HOSPITAL} --port 104,11112 --network-rate 100 --timeout 2 --max-requests 100": Run("1 endpoint gives"),
        f"{HOSPITAL} --format jsonl --output scan.jsonl": Run(makes="scan.jsonl"),
        f"{HOSPITAL} --report report.html --quiet": Run("1 endpoint gives", makes="report.html"),
        "leadapron report --list": Run("done"),
        "leadapron report --format csv --output scan.csv": Run(makes="scan.csv"),
        f'{HOSPITAL} --quiet --fail-on high --output last-night.txt || echo "Lead Apron: see last-night.txt"': Run(
            "see last-night.txt", makes="last-night.txt"
        ),
    },
}
ELSEWHERE = {  # pages whose own tests run every command of theirs
    "docs/feeds.md": "tests/watch/reach/feeds/test_feed_docs.py::test_the_commands_run",
    "docs/records.md": "tests/cli/test_report.py::test_every_command_of_the_page_runs",
    "docs/scope.md": "tests/watch/scope/test_docs.py::test_the_commands_run",
}


def commands(page: Path) -> list[str]:
    """The commands of a page, without comments, in their order."""
    found = []
    text = page.read_text("utf-8")
    for indent, language, body in re.findall(r"^( *)```(\w*)\n(.*?)^\1```$", text, re.S | re.M):
        lines = [line.removeprefix(indent) for line in body.replace("\\\n", " ").splitlines()]
        if language == "console":
            found += [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        elif language == "sh":
            found += lines
        elif language == "crontab":
            found += [line.split(maxsplit=5)[5] for line in lines]
        else:
            assert language in NO_COMMANDS, (
                f"{page.name}: a block of {language!r}; commands stand in sh, console or crontab"
            )
            assert not [line for line in lines if line.startswith(("$ ", "leadapron "))], (
                f"{page.name}: mark it as console"
            )
    return [command for line in found if (command := re.sub(r"\s+#\s.*|^#.*", "", line).strip())]


@pytest.fixture(scope="module")
def neighbourhood() -> Iterator[Population]:
    """What the commands find: two open archives, the second of which the hospital's scope leaves out, and others."""
    archive = ArchiveSpec(studies=12, patients=7)
    with LabProcess(
        Population(
            "docs",
            [
                EndpointSpec(f"{NETWORK}5", 11112, "dcmtk", archive=archive),
                EndpointSpec(f"{NETWORK}7", 4242, "orthanc", archive=archive),
                EndpointSpec(f"{NETWORK}9", 11112, "rejects-calling"),
                EndpointSpec(f"{NETWORK}11", 8080, "http"),
            ],
        )
    ):
        yield


@pytest.fixture
def session(tmp_path: Path, neighbourhood: None) -> Session:
    shim = tmp_path / "bin" / "leadapron"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m leadapron "$@"\n')
    shim.chmod(0o755)
    (tmp_path / "street.toml").write_text(
        f'name = "street"\n[[endpoint]]\naddress = "{NETWORK}200"\nport = 11112\npersona = "empty"\n'
    )
    return Session(tmp_path)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.timeout(5 * MINUTE)
@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_runs(page: Path, session: Session) -> None:
    for command in commands(page):
        how = Elsewhere(ELSEWHERE[name(page)]) if name(page) in ELSEWHERE else HOW.get(name(page), {}).get(command)
        assert how is not None, f"{name(page)}: no line in HOW says how this is run: {command}"
        if isinstance(how, Make | Elsewhere | Untried):
            how.go(command, session)
        else:
            how.go(here(command), session)


def here(command: str) -> str:
    """The command with this test's neighbourhood for the networks of the pages."""
    for network in STAND_INS:
        command = command.replace(network, NETWORK)
    return command


@pytest.mark.parametrize("page", sorted({*HOW, *ELSEWHERE}))
def test_no_line_is_about_a_command_that_is_gone(page: str) -> None:
    there = commands(ROOT / page)
    assert there
    assert not set(HOW.get(page, {})) - set(there)


def test_no_command_can_hide(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "1. Do\n   ```sh\n   # first\n   one \\\n     two  # and\n   ```\n```crontab\n1 2 * * * three\n```\n"
    )
    assert [" ".join(command.split()) for command in commands(page)] == ["one two", "three"]
    for hidden in ("```\n$ leadapron scan\n```\n", "```text\nleadapron scan\n```\n", "```bash\nleadapron scan\n```\n"):
        page.write_text(hidden)
        with pytest.raises(AssertionError):
            commands(page)
