"""Runs ``leadapron`` with every address that Python is asked to connect to, send to or look up written to a file.

    python audited.py FILE.json scan …

``RLIMIT_NAME=VALUE`` in front of the arguments sets a limit of this process first.
"""

from __future__ import annotations

import atexit
import json
import resource
import sys
from pathlib import Path
from typing import Any

WATCHED = ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname")


def main(file: str, *arguments: str) -> None:
    seen: list[tuple[str, str]] = []

    def hook(event: str, values: tuple[Any, ...]) -> None:
        if event in WATCHED:
            where = values[0] if event.startswith("socket.get") else values[-1]
            seen.append((event, str(where[0] if isinstance(where, tuple) else where)))

    sys.addaudithook(hook)
    atexit.register(lambda: Path(file).write_text(json.dumps(seen)))
    rest = list(arguments)
    while rest and rest[0].startswith("RLIMIT_"):
        name, _, value = rest.pop(0).partition("=")
        resource.setrlimit(getattr(resource, name), (int(value), int(value)))
    sys.argv = ["leadapron", *rest]
    from leadapron.cli.main import main as run

    run()


if __name__ == "__main__":
    main(*sys.argv[1:])
