"""Entries as lines: for people, for programs (one JSON object each), for spreadsheets.

The table and CSV show nothing that names a patient. A line of the table says who did what to whom in plain words; its
last column is as long as it has to be. CSV cells that a spreadsheet would run get an apostrophe in front, since
strangers choose some of these strings (OWASP "CSV Injection").
"""

from __future__ import annotations

import csv
import io
from datetime import datetime, tzinfo
from typing import Any, Final

import msgspec

from leadapron.guard.audit.codes import Outcome
from leadapron.guard.audit.entry import Entry, Party

SEVERITIES: Final = {
    Outcome.SUCCESS: "info",
    Outcome.MINOR: "minor",
    Outcome.SERIOUS: "serious",
    Outcome.MAJOR: "MAJOR",
}
_WIDTHS: Final = (7, 19, 15, 16, 15, 7)
_TITLES: Final = ("No.", "Time", "What", "Who", "From", "Result", "About")
_SHORT: Final = {
    "begin-transfer": "Transfer begins",
    "transfer": "Transfer",
    "access": "Access",
    "delete": "Study deleted",
    "procedure": "Procedure step",
    "login": "Login",
    "alert": "ALERT",
    "application": "Start or stop",
    "log-used": "Audit log read",
}

EDITION: Final = 1
"""Of the JSON; 'leadapron schema audit' prints what it says."""
COLUMNS: Final = (
    "sequence",
    "time",
    "recorded",
    "event",
    "types",
    "action",
    "outcome",
    "reason",
    "who",
    "who_ae",
    "who_address",
    "others",
    "studies",
    "instances",
    "about",
    "text",
)
_FORMULA: Final = tuple("=+-@\t\r\n＝＋－＠")


def requestor(entry: Entry) -> Party | None:
    """Who caused it: the requestor; for alerts who performed it (or tried to); else the first."""
    if entry.event == "alert" and len(entry.parties) > 1:
        return entry.parties[-1]
    return next((party for party in entry.parties if party.requestor), entry.parties[0] if entry.parties else None)


# ---- for people -----------------------------------------------------------------------------------------------------


def header() -> str:
    return _columns(_TITLES)


def line(entry: Entry, zone: tzinfo | None = None) -> str:
    """One line; times in ``zone`` (None: this machine's)."""
    who = requestor(entry)
    what = _SHORT.get(entry.event, entry.title)
    if entry.event in ("login", "application", "network") and entry.types:
        what = {"Application Start": "Started", "Application Stop": "Stopped"}.get(entry.types[0], entry.types[0])
    return _columns(
        (
            str(entry.sequence),
            entry.time.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S"),
            what,
            (who.user if who else "").partition("@")[0] if entry.event in ("login", "log-used") else _name(who),
            (who.address or "") if who else "",
            result(entry),
            about(entry),
        )
    )


def result(entry: Entry) -> str:
    """How it ended; for an alert, how bad it is."""
    if entry.event == "alert":
        return SEVERITIES[Outcome(entry.outcome)]
    return "ok" if entry.outcome == Outcome.SUCCESS else "failed"


def about(entry: Entry) -> str:
    """What it was about, in a few words and without a patient."""
    studies = [thing for thing in entry.things if thing.kind == "study"]
    parts: list[str] = []
    if entry.event == "alert":
        parts.append(f"{entry.types[0]}: {entry.text}" if entry.text else entry.types[0])
    elif entry.event == "query":
        asked = next((thing for thing in entry.things if thing.kind == "query"), None)
        parts.append(f"asked {_name(_with_role(entry, 'Destination Role ID'))}")
        if asked is not None and asked.id != "query":
            parts.append(_SOP_CLASSES.get(asked.id, asked.id))
    elif entry.event == "procedure":
        done = "created" if entry.action == "C" else "changed"
        parts.append(f"{done} at {_name(_with_role(entry, 'Destination Role ID'))}")
    elif studies:
        instances = sum(sum(study.instances.values()) for study in studies)
        if entry.event in ("transfer", "begin-transfer"):
            parts.append(" → ".join(_name(_with_role(entry, f"{end} Role ID")) for end in ("Source", "Destination")))
        elif entry.event == "export":
            parts.append(f"to {_name(_with_role(entry, 'Destination Media'))}")
        parts.append(_many(len(studies), "study", "studies") + (f", {_many(instances, 'image')}" if instances else ""))
    elif entry.event == "log-used" and len(entry.parties) > 1:
        parts.append(entry.parties[1].user)
    if entry.event != "alert" and entry.reason:
        parts.append(entry.reason)
    return "; ".join(parts)


def _columns(cells: tuple[str, ...]) -> str:
    shown = [
        cell if len(cell) <= width else cell[: width - 1] + "…" for cell, width in zip(cells, _WIDTHS, strict=False)
    ]
    number, *rest = shown
    padded = [cell.ljust(width) for cell, width in zip(rest, _WIDTHS[1:], strict=True)]
    return "  ".join([number.rjust(_WIDTHS[0]), *padded, cells[-1]]).rstrip()


def _name(party: Party | None) -> str:
    if party is None:
        return ""
    return party.user if party.user != party.address else party.ae or party.user


def _with_role(entry: Entry, role: str) -> Party | None:
    return next((party for party in entry.parties if role in party.roles), None)


def _many(count: int, one: str, more: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else more or one + 's'}"


_SOP_CLASSES: Final = {  # PS3.6 Table A-1: all that the guard lets anybody ask for (`policy.services`)
    **{
        f"1.2.840.10008.5.1.4.1.2.{root}.{verb}": f"{model} Query/Retrieve Information Model - {name}"
        for root, model in ((1, "Patient Root"), (2, "Study Root"), (3, "Patient/Study Only"))
        for verb, name in ((1, "FIND"), (2, "MOVE"), (3, "GET"))
    },
    "1.2.840.10008.5.1.4.1.2.1.1": "patients",  # those that are asked for all day, in a word
    "1.2.840.10008.5.1.4.1.2.2.1": "studies",
    "1.2.840.10008.5.1.4.31": "worklist",
}


# ---- for programs ---------------------------------------------------------------------------------------------------


def json_line(entry: Entry) -> str:
    """One JSON object, without a line end: ``type`` audit, ``schema`` `EDITION`, and the entry's fields."""
    fields = {"type": "audit", "schema": EDITION, **{name: getattr(entry, name) for name in entry.__struct_fields__}}
    return msgspec.json.encode(fields).decode()


def csv_header() -> str:
    return _csv(COLUMNS)


def csv_line(entry: Entry) -> str:
    """A line of `COLUMNS`, without a patient; times UTC."""
    who = requestor(entry)
    studies = [thing for thing in entry.things if thing.kind == "study"]
    return _csv(
        (
            entry.sequence,
            _utc(entry.time),
            _utc(entry.recorded),
            entry.event,
            " ".join(entry.types),
            entry.action,
            entry.outcome,
            entry.reason or "",
            who.user if who else "",
            (who.ae or "") if who else "",
            (who.address or "") if who else "",
            " ".join(party.user for party in entry.parties if party is not who),
            " ".join(study.id for study in studies),
            sum(sum(study.instances.values()) for study in studies),
            about(entry),
            entry.text or "",
        )
    )


def _utc(moment: datetime) -> str:
    return f"{moment.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def _csv(cells: tuple[Any, ...]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(
        [f"'{cell}" if isinstance(cell, str) and cell.lstrip().startswith(_FORMULA) else cell for cell in cells]
    )
    return buffer.getvalue()
