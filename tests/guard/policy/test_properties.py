"""What holds for every configuration and every request."""

from __future__ import annotations

import json
from datetime import UTC
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from guard.policy.policies import CLASSES, NAMES, Table, Writer, names, requests, tables
from leadapron.guard.policy.decide import Allowed, Denied, Policy, Request, parse_policy
from leadapron.guard.policy.explain import explain
from leadapron.guard.policy.permission import permission
from leadapron.guard.policy.services import MOVES, Command, needed


def policy_of(written: list[Table], random: Random | None = None) -> Policy:
    return parse_policy(Writer(written, random or Random(0)).text, "leadapron.toml", UTC)


def allowed(policy: Policy, peer: str | None, request: Request) -> bool:
    return isinstance(policy.decide(peer, request), Allowed)


@settings(max_examples=200)
@given(tables(), names(), requests(), st.randoms(use_true_random=False))
def test_deciding_is_total_explained_and_says_the_same_twice(
    written: list[Table], peer: str | None, request: Request, random: Random
) -> None:
    writer = Writer(written, random)
    policy = parse_policy(writer.text, "leadapron.toml", UTC)
    answer = policy.decide(peer, request)
    assert answer == policy.decide(peer, request)
    assert answer == parse_policy(writer.text, "leadapron.toml", UTC).decide(peer, request)
    if isinstance(answer, Denied):
        assert answer.reason and answer.reason.isprintable() and len(answer.reason) < 300
        assert answer.change.isprintable()
        assert (answer.line is None) is (peer not in {table["name"] for table in written})
    if answer.line is not None:
        assert 1 <= answer.line.number <= writer.text.count("\n") + 1
        assert answer.line.text.isprintable() or "\t" in answer.line.text


@given(tables(), requests(), st.text(max_size=20))
def test_a_stranger_is_denied_everything(written: list[Table], request: Request, name: str) -> None:
    policy = policy_of(written)
    assert isinstance(policy.decide(None, request), Denied)
    assert isinstance(policy.offers(None, request.sop_class or "", request.address, request.when), Denied)
    if name not in NAMES:
        assert isinstance(policy.decide(name, request), Denied)


@given(requests(), names())
def test_no_configuration_no_permission(request: Request, peer: str | None) -> None:
    assert isinstance(policy_of([]).decide(peer, request), Denied)


@settings(max_examples=200)
@given(tables().filter(bool), names(), requests(), st.data())
def test_taking_something_out_of_a_list_never_allows_more(
    written: list[Table], peer: str | None, request: Request, data: st.DataObject
) -> None:
    before = policy_of(written)
    index = data.draw(st.integers(0, len(written) - 1))
    lists = [key for key, value in written[index].items() if isinstance(value, list) and value]
    if not lists:
        return
    key = data.draw(st.sampled_from(lists))
    out = data.draw(st.integers(0, len(written[index][key]) - 1))
    less = [*written[:index], {**written[index], key: [v for at, v in enumerate(written[index][key]) if at != out]}]
    after = policy_of([*less, *written[index + 1 :]])
    assert allowed(before, peer, request) >= allowed(after, peer, request)
    assert after.decide(peer, request) == after.decide(peer, request)


@given(tables().filter(bool), names(), requests(), st.data())
def test_adding_a_rule_that_narrows_never_allows_more(
    written: list[Table], peer: str | None, request: Request, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(written) - 1))
    key, value = data.draw(
        st.sampled_from(
            (
                ("from", ["10.1.0.0/16"]),
                ("from", []),
                ("modalities", ["CT"]),
                ("modalities", []),
                ("hours", "07:00-08:00"),
            )
        )
    )
    if key in written[index]:
        return
    narrowed = [*written[:index], {**written[index], key: value}, *written[index + 1 :]]
    assert allowed(policy_of(written), peer, request) >= allowed(policy_of(narrowed), peer, request)


@settings(max_examples=200)
@given(tables().filter(bool), names(), requests(), st.data())
def test_a_peer_more_or_less_is_no_matter_of_the_others(
    written: list[Table], peer: str | None, request: Request, data: st.DataObject
) -> None:
    """Save for one thing, which is meant: a destination that somebody lists becomes, or is no longer, a peer's."""
    gone = data.draw(st.sampled_from(written))
    with_it, without = policy_of(written), policy_of([table for table in written if table is not gone])
    assert isinstance(without.decide(gone["name"], request), Denied)
    if peer == gone["name"] or (request.destination or "").strip(" ") == gone["ae"]:
        assert allowed(with_it, peer, request) >= allowed(without, peer, request)
    else:
        answers = [policy.decide(peer, request) for policy in (with_it, without)]
        assert type(answers[0]) is type(answers[1])
        if isinstance(answers[0], Denied) and isinstance(answers[1], Denied):
            assert answers[0].reason == answers[1].reason


@given(tables(), names(), requests())
def test_what_is_allowed_was_written(written: list[Table], peer: str | None, request: Request) -> None:
    """Read off the tables by hand, for what does not need parsing."""
    if allowed(policy_of(written), peer, request):
        table = next(one for one in written if one["name"] == peer)
        assert request.permission in {permission(word) for word in table["may"]}
        assert table.get("from") != []
        if request.destination is not None and request.permission.value == "dicom:retrieve":
            name = request.destination.strip(" ")
            assert name in table["move_to"] and name in {one["ae"] for one in written}
        if request.permission.operation == "store":
            assert table.get("modalities") != []


@given(tables(), names(), requests(), st.sampled_from(CLASSES), st.sampled_from(Command))
def test_what_is_allowed_on_a_context_was_offered(
    written: list[Table], peer: str | None, request: Request, sop_class: str, command: Command
) -> None:
    """A gateway that offers what `offers` says, and asks for what `needed` says, loses nothing that is allowed."""
    policy = policy_of(written)
    rules = policy.rules(peer)
    needs = needed(sop_class, command, private=rules.private if rules else ())
    if needs is None:
        return
    asked = Request(
        permission=needs,
        address=request.address,
        when=request.when,
        sop_class=sop_class,
        modality=request.modality if request.modality == "CT" or sop_class == CLASSES[3] else None,
        destination=request.destination if sop_class in MOVES else None,
    )
    if allowed(policy, peer, asked):
        assert isinstance(policy.offers(peer, sop_class, request.address, request.when), Allowed)


@given(tables(), names().filter(bool), requests())
def test_the_explanation_says_what_is_decided(written: list[Table], peer: str, request: Request) -> None:
    policy = policy_of(written)
    told = explain(
        policy, peer, request.permission, request.when, address=request.address, destination=request.destination,
        modality=request.modality, sop_class=request.sop_class,
    )  # fmt: skip
    decided = policy.decide(peer, request)
    if told.answer == "yes":
        assert isinstance(decided, Allowed)
    if told.answer == "no":
        assert isinstance(decided, Denied)
    if isinstance(decided, Denied) and decided.line is not None and told.answer == "no":
        assert decided.reason in told.text
    assert all(line.replace("\t", " ").isprintable() for line in told.text.splitlines())
    assert json.dumps(peer)[:3] in told.text.replace("'", '"') or peer in told.text or ascii(peer)[1:3] in told.text
