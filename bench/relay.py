"""The guard against stunnel before the same sink, and no guard at all: throughput, CPU for a gigabyte, latency."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from bench.run import LEADAPRON, Cost, Row, high_water
from leadapron.kernel.errors import Failure

OBJECT = 16 << 20
GIB = 1 << 30
ASKED = 2_000
TICK = os.sysconf("SC_CLK_TCK")
STREAM = [sys.executable, "-m", "bench.stream"]
START_S = 30.0


def suite(runs: int) -> dict[str, list[Row]]:
    """All three ways, with PDUs of 16 KiB (what DCMTK and Orthanc agree on) and 128 KiB."""
    tables: dict[str, list[Row]] = {}
    with tempfile.TemporaryDirectory() as name, _sink() as sink:
        home = Path(name)
        with _guard(home, sink) as guard, _stunnel(home, sink) as stunnel:
            ways: list[tuple[str, int, int | None, str | None]] = [
                ("leadapron up", guard[0], guard[1], str(home / "keys")),
                ("stunnel", stunnel[0], stunnel[1], str(home / "keys")),
                ("no guard, no TLS", sink, None, None),
            ]
            for size in (1 << 14, 1 << 17):
                for senders in (1, 4):
                    title = f"store 1 GiB in PDUs of {size >> 10} KiB, {senders} association{'s' * (senders > 1)}"
                    tables[title] = _rows(runs, ways, partial(_send, size, senders))
            for what, title in (("echo", "C-ECHO"), ("find", "C-FIND with one answer")):
                tables[f"{title}, one after the other"] = _rows(runs, ways, partial(_ask, what))
    return tables


Way = tuple[int, int | None, str | None]


def _rows(runs: int, ways: list[tuple[str, int, int | None, str | None]], once: Callable[[Way], Cost]) -> list[Row]:
    """The ways take turns: a machine's speed drifts, and none should have the better hour."""
    costs: list[list[Cost]] = [[] for _ in ways]
    for _ in range(runs):
        for so_far, (_name, port, pid, keys) in zip(costs, ways, strict=True):
            so_far.append(once((port, pid, keys)))
    return [_row(name, pid, so_far) for so_far, (name, _port, pid, _keys) in zip(costs, ways, strict=True)]


def _row(name: str, pid: int | None, costs: list[Cost]) -> Row:
    runs = len(costs)
    what = costs[0].output
    row = Row(name, 1024 if what == "MiB" else ASKED, what, costs)
    if pid is not None:
        used = sorted(cost.cpu for cost in costs)[runs // 2]
        row.note = f"{used:.2f} CPU s/GiB" if what == "MiB" else f"{used * 1e6 / ASKED:.0f} µs CPU each"
    if what != "MiB":
        row.note += f"{'; ' if row.note else ''}{1e6 / row.rate:.0f} µs each"
    return row


def _send(size: int, senders: int, way: Way) -> Cost:
    port, pid, keys = way
    count = GIB // OBJECT // senders
    arguments = [*STREAM, "send", "127.0.0.1", str(port), str(count), str(OBJECT), str(size), *([keys] if keys else [])]
    return _measured(pid, [arguments] * senders, "MiB")


def _ask(what: str, way: Way) -> Cost:
    port, pid, keys = way
    return _measured(pid, [[*STREAM, what, "127.0.0.1", str(port), str(ASKED), *([keys] if keys else [])]], what)


def _measured(pid: int | None, commands: list[list[str]], what: str) -> Cost:
    """Wall time is the slowest sender's own, without its start; CPU and memory are the relay's."""
    before = _cpu(pid)
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    said = [child.communicate(timeout=600)[0] for child in children]
    if any(child.returncode for child in children):
        raise Failure("a sender failed")
    peak = 0.0 if pid is None else high_water(pid)
    return Cost(max(map(float, said)), _cpu(pid) - before, peak, 0, what)


def _cpu(pid: int | None) -> float:
    if pid is None:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


# ---- what is compared ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _started(command: list[str], ready: Callable[[], bool], log: Path) -> Iterator[int]:
    with log.open("wb") as output:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        end = time.monotonic() + START_S
        while not ready():
            if child.poll() is not None or time.monotonic() > end:
                raise Failure(f"{command[0]} did not start: {log.read_text(errors='replace')[-500:]}")
            time.sleep(0.05)
        yield child.pid
    finally:
        child.terminate()
        child.wait(START_S)


def _free_port() -> int:
    import socket

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextlib.contextmanager
def _sink() -> Iterator[int]:
    port = _free_port()
    with tempfile.TemporaryDirectory() as name:
        log = Path(name) / "log"
        with _started([*STREAM, "sink", str(port)], lambda: log.exists() and "ready" in log.read_text(), log):
            yield port


@contextlib.contextmanager
def _guard(home: Path, sink: int) -> Iterator[tuple[int, int]]:
    port, config = _free_port(), home / "leadapron.toml"
    _run(
        *("init", "guard", "--archive", f"127.0.0.1:{sink}", "--archive-ae", "SINK", "--name", "localhost"),
        *("--listen", f"127.0.0.1:{port}", "--enrol", f"127.0.0.1:{_free_port()}"),
        *("--config", str(config), "--data", str(home / "data")),
    )
    _run(
        "peer",
        "issue",
        "BENCH",
        "--ae",
        "BENCH",
        "--may",
        "store,echo,find",
        "--out",
        str(home / "keys"),
        "--config",
        str(config),
    )
    config.write_text(config.read_text() + "requests_per_minute = 1000000\n")
    log = home / "up.log"
    with _started(
        [*LEADAPRON, "up", "--config", str(config), "--no-check"],
        lambda: "DICOM over TLS" in log.read_text(errors="replace"),
        log,
    ) as pid:
        yield port, pid


def _run(*arguments: str) -> None:
    done = subprocess.run([*LEADAPRON, *arguments], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise Failure(f"leadapron {arguments[0]}: {done.stderr}")


@contextlib.contextmanager
def _stunnel(home: Path, sink: int) -> Iterator[tuple[int, int]]:
    """With the guard's own certificate and authority, and a client's certificate asked for, as the guard does."""
    guard, port = home / "data" / "guard", _free_port()
    config = home / "stunnel.conf"
    config.write_text(
        f"foreground = yes\npid =\n[dicom]\naccept = 127.0.0.1:{port}\nconnect = 127.0.0.1:{sink}\n"
        f"cert = {guard / 'server.pem'}\nkey = {guard / 'server.key'}\nCAfile = {guard / 'authority.pem'}\nverify = 2\n"
        "socket = l:TCP_NODELAY=1\nsocket = r:TCP_NODELAY=1\n"
    )
    program = shutil.which("stunnel4") or "/usr/bin/stunnel4"
    log = home / "stunnel.log"
    with _started(
        [program, str(config)],
        lambda: bool(re.search(r"Configuration successful", log.read_text(errors="replace"))),
        log,
    ) as pid:
        time.sleep(0.3)
        yield port, pid
