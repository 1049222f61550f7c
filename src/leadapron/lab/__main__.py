"""The lab as a child process, driven by its parent through a pipe (``process.LabProcess``).

The first line on stdin is the population as JSON with its settings; READY on stdout says that every endpoint is open.
Each further line ``truth`` is answered with the truth as one line of JSON. When stdin ends, so does the process: a
parent that dies leaves nobody behind.
"""

from __future__ import annotations

import asyncio
import sys

import msgspec

from leadapron.kernel.errors import LeadApronError
from leadapron.lab.neighbourhood import Neighbourhood
from leadapron.lab.process import Order
from leadapron.wire.aio.loop import run


async def _serve(order: Order) -> None:
    loop = asyncio.get_running_loop()
    neighbourhood = Neighbourhood(
        order.population, latency_ms=order.latency_ms, free_ports=order.free_ports, canary=order.canary
    )
    async with neighbourhood:
        print("READY", flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            if line.strip() == "truth":
                sys.stdout.write(msgspec.json.encode(neighbourhood.truth).decode() + "\n")
                sys.stdout.flush()


def main() -> int:
    order = msgspec.json.decode(sys.stdin.readline(), type=Order)
    try:
        run(_serve(order))
    except LeadApronError as error:
        print(f"FAILED {error}", flush=True)
        return error.exit_code
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
