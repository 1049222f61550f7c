"""Capabilities read off the presentation contexts that a server accepted: nothing was retrieved or written for it."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Literal

from leadapron.watch.measure.judge.words import CALLED_NOT_RECOGNIZED, CALLING_NOT_RECOGNIZED, is_refused_title
from leadapron.watch.measure.model import Accepted, Attempt, Echo, Measurement
from leadapron.watch.measure.record import Capabilities
from leadapron.wire import uids

# What DCMTK's tools call when they are told nothing: no archive is registered under it (``dicom.proposal.CALLED``).
NEUTRAL_CALLED: Final = "ANY-SCP"
_STORAGE: Final = frozenset(uids.COMMON_STORAGE)
_REMEMBERED: Final = 2048


def capabilities(measurement: Measurement, attempt: Attempt, accepted: Accepted) -> Capabilities:
    """What a stranger may do here. ``echo``: C-ECHO succeeded, or, where none was sent, its context was accepted."""
    echo = measurement.echo
    called: bool | None = True if attempt.called == NEUTRAL_CALLED else None
    calling = True
    if len(measurement.attempts) > 1:
        refused_called, refused_calling = refused_titles(measurement.attempts, attempt)
        called = False if refused_called else called
        calling = not refused_calling
    return _read(accepted.contexts, None if echo is None else _succeeded(echo), calling, called)


def _succeeded(echo: Echo) -> bool:
    return echo.status == 0


def refused_titles(attempts: tuple[Attempt, ...], accepted: Attempt) -> tuple[bool, bool]:
    """(called, calling): whether another title than the accepted one was refused for what it was."""
    called = calling = False
    for attempt in attempts:
        if attempt.called != accepted.called and is_refused_title(attempt.outcome, CALLED_NOT_RECOGNIZED):
            called = True
        if attempt.calling != accepted.calling and is_refused_title(attempt.outcome, CALLING_NOT_RECOGNIZED):
            calling = True
    return called, calling


@lru_cache(maxsize=_REMEMBERED)
def _read(contexts: tuple[str, ...], echo: bool | None, any_calling: bool, any_called: bool | None) -> Capabilities:
    has = frozenset(contexts)
    find: list[Literal["study", "patient"]] = []
    if uids.STUDY_ROOT_FIND in has:
        find.append("study")
    if uids.PATIENT_ROOT_FIND in has:
        find.append("patient")
    retrieve: list[Literal["get", "move"]] = []
    if has & {uids.STUDY_ROOT_GET, uids.PATIENT_ROOT_GET}:
        retrieve.append("get")
    if has & {uids.STUDY_ROOT_MOVE, uids.PATIENT_ROOT_MOVE}:
        retrieve.append("move")
    return Capabilities(
        echo=uids.VERIFICATION in has if echo is None else echo,
        find=tuple(find),
        retrieve=tuple(retrieve),
        store=len(_STORAGE & has),
        worklist=uids.MODALITY_WORKLIST_FIND in has,
        commitment=uids.STORAGE_COMMITMENT_PUSH in has,
        any_calling_ae=any_calling,
        any_called_ae=any_called,
    )
