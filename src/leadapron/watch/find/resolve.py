"""Host names to addresses, by the resolver of this machine.

``getaddrinfo`` blocks and cannot be called off, so each look-up has a thread of its own that nobody waits for longer
than the time-out: a daemon thread, which the end of the program does not wait for either. At most ``at_once`` run at
a time, and when too many were given up on, the resolver is taken for dead and the rest fails at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

from leadapron.watch.scope.scope import Scope

MAX_ADDRESSES: Final = 64  # of one name

LookUp = Callable[[str], list[str]]


class Resolved(Struct, frozen=True):
    """The addresses of a name, IPv4 and IPv6, at least one, without duplicates, in the resolver's order."""

    addresses: tuple[str, ...]


class Unresolved(Struct, frozen=True):
    """No address, and why, in our words."""

    reason: str


async def resolve(
    names: Iterable[str],
    *,
    at_once: int = 32,
    timeout: float = 10.0,
    look_up: LookUp | None = None,
) -> dict[str, Resolved | Unresolved]:
    """Look every name up, ``timeout`` seconds each. Never raises for a name: a failure is a value."""
    turn = asyncio.Semaphore(at_once)
    given_up = 0
    ask = look_up or _getaddrinfo

    async def one(name: str) -> Resolved | Unresolved:
        nonlocal given_up
        async with turn:
            if given_up >= 2 * at_once:
                return Unresolved("the resolver does not answer")
            try:
                async with asyncio.timeout(timeout):
                    return await _in_thread(ask, name)
            except TimeoutError:
                given_up += 1
                return Unresolved(f"no answer within {timeout:g} s")

    wanted = list(dict.fromkeys(names))
    return dict(zip(wanted, await asyncio.gather(*map(one, wanted)), strict=True))


async def bind_names(
    scope: Scope, *, timeout: float = 10.0, look_up: LookUp | None = None
) -> tuple[Scope, dict[str, str]]:
    """The scope with its host names looked up, and the include names that have no address, with the reason. Raises
    ScopeError for an exclude name without one."""
    if not scope.names:
        return scope, {}
    answers = await resolve(scope.names, timeout=timeout, look_up=look_up)
    found = {name: answer.addresses for name, answer in answers.items() if isinstance(answer, Resolved)}
    failed = {name: answer.reason for name, answer in answers.items() if isinstance(answer, Unresolved)}
    return scope.resolved(found), failed


async def _in_thread(look_up: LookUp, name: str) -> Resolved | Unresolved:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Resolved | Unresolved] = loop.create_future()

    def deliver(found: Resolved | Unresolved) -> None:
        if not answer.done():
            answer.set_result(found)

    def work() -> None:
        found: Resolved | Unresolved
        try:
            addresses = tuple(dict.fromkeys(look_up(name)))[:MAX_ADDRESSES]
            found = Resolved(addresses) if addresses else Unresolved("the name has no usable address")
        except (OSError, UnicodeError) as error:
            found = Unresolved(_reason(error))
        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits for this any more
            loop.call_soon_threadsafe(deliver, found)

    threading.Thread(target=work, name="look-up", daemon=True).start()
    return await answer


def _getaddrinfo(name: str) -> list[str]:
    rows = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    # a link-local answer carries a zone that means something on this machine only
    return [str(row[4][0]) for row in rows if "%" not in str(row[4][0])]


def _reason(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        if error.errno == socket.EAI_NONAME:
            return "the name does not exist"
        if error.errno == socket.EAI_AGAIN:
            return "the resolver has no answer just now"
    return "the look-up failed"
