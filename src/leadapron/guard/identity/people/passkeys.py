"""WebAuthn (Level 2): security keys and passkeys as the second factor.

Challenges are not kept. A challenge is random octets, when it ends, and a keyed hash that binds both to what it is for
(registering or signing in) and to the person; so strangers who ask for a million of them fill no memory. That it is
answered once is written down (table ``spent``) when the answer is right.

What is asked for a name that does not exist looks like that of one that does: invented credential IDs that stay the
same (WebAuthn §14.6.2). Relying party ID and origins are the operator's, never taken from the request. The signature
counter must grow where an authenticator has one (§6.1.1): a copy is noticed.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import secrets
from collections.abc import Callable, Sequence
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct

from leadapron.guard.identity.people.requests import as_sent

LASTS_S: Final = 300
LONGEST_RESPONSE: Final = 16_384
"""Characters of JSON. A registration with attestation has 3,000."""
_RANDOM: Final = 16
_ENDS: Final = 8
_MARK: Final = 32

Digest = Callable[[str, bytes], bytes]


class Site(Struct, frozen=True):
    """Where browsers find the guard. ``rp_id``: its host name; ``origins``: ``https://host:port``, at least one.

    Browsers know no passkeys for an address in numbers (WebAuthn §5.1.2): ``usable`` is False for one.
    """

    rp_id: str
    origins: tuple[str, ...]
    name: str = "Lead Apron"

    @property
    def usable(self) -> bool:
        try:
            ipaddress.ip_address(self.rp_id.strip("[]"))
        except ValueError:
            return True
        return False


class Registered(Struct, frozen=True):
    credential: bytes
    public_key: bytes
    counter: int


class Passkeys:
    def __init__(self, site: Site, digest: Digest) -> None:
        self._site = site
        self._digest = digest
        self._nobodys = _public_key()

    def registration(self, person: str, name: str, known: Sequence[bytes], now: int) -> tuple[str, str]:
        """Options for ``navigator.credentials.create()`` as JSON, and the challenge. ``person``: its id."""
        from webauthn import generate_registration_options, options_to_json
        from webauthn.helpers.structs import PublicKeyCredentialDescriptor

        challenge = self._challenge("register", person, now)
        options = generate_registration_options(
            rp_id=self._site.rp_id,
            rp_name=self._site.name,
            user_name=name,
            user_id=self._digest("webauthn user", person.encode()),
            challenge=challenge,
            timeout=LASTS_S * 1000,
            exclude_credentials=[PublicKeyCredentialDescriptor(id=credential) for credential in known],
        )
        return options_to_json(options), challenge.hex()

    def register(self, person: str, response: str, challenge: str, now: int) -> Registered | str:
        """What was registered, or why not."""
        from webauthn import verify_registration_response

        raw = self._own("register", person, challenge, now)
        if raw is None:
            return "the challenge is not ours, or too old"
        try:
            found = verify_registration_response(
                credential=_parsed(response),
                expected_challenge=raw,
                expected_rp_id=self._site.rp_id,
                expected_origin=list(map(as_sent, self._site.origins)),
            )
        except Exception as error:  # it parses what a stranger sent, and raises what its parsers raise
            return f"the registration does not verify ({type(error).__name__})"
        return Registered(found.credential_id, found.credential_public_key, found.sign_count)

    def authentication(self, person: str, credentials: Sequence[bytes], now: int) -> tuple[str, str]:
        """Options for ``navigator.credentials.get()`` as JSON, and the challenge. Without ``credentials`` (nobody of
        that name, or one without a key) invented ones are named. ``person`` is the name as it was typed."""
        from webauthn import generate_authentication_options, options_to_json
        from webauthn.helpers.structs import PublicKeyCredentialDescriptor

        challenge = self._challenge("sign in", person, now)
        options = generate_authentication_options(
            rp_id=self._site.rp_id,
            challenge=challenge,
            timeout=LASTS_S * 1000,
            allow_credentials=[
                PublicKeyCredentialDescriptor(id=credential) for credential in credentials or [self.invented(person)]
            ],
        )
        return options_to_json(options), challenge.hex()

    def authenticate(
        self, person: str, response: str, challenge: str, keys: dict[bytes, tuple[bytes, int]], now: int
    ) -> tuple[bytes, int] | str:
        """Credential ID and new counter, or why not. ``keys``: public key and counter of each credential."""
        from webauthn import verify_authentication_response

        raw = self._own("sign in", person, challenge, now)
        if raw is None:
            return "the challenge is not ours, or too old"
        try:
            parsed = _parsed(response)
            key, counter = keys.get(_credential_id(parsed), (self._nobodys, 0))
            found = verify_authentication_response(
                credential=parsed,
                expected_challenge=raw,
                expected_rp_id=self._site.rp_id,
                expected_origin=list(map(as_sent, self._site.origins)),
                credential_public_key=key,
                credential_current_sign_count=counter,
            )
        except Exception as error:  # as above
            return f"the passkey does not verify ({type(error).__name__})"
        if found.credential_id not in keys:
            return "the passkey is not this person's"
        return found.credential_id, found.new_sign_count

    def invented(self, person: str) -> bytes:
        return self._digest("webauthn invented", person.encode("utf-8", "surrogatepass"))

    def _challenge(self, purpose: str, person: str, now: int) -> bytes:
        begin = secrets.token_bytes(_RANDOM) + (now + LASTS_S).to_bytes(_ENDS)
        return begin + self._mark(purpose, person, begin)

    def _own(self, purpose: str, person: str, challenge: str, now: int) -> bytes | None:
        """The challenge if it was made here for this purpose and person and still holds."""
        if len(challenge) != 2 * (_RANDOM + _ENDS + _MARK):
            return None
        try:
            raw = bytes.fromhex(challenge)
        except ValueError:
            return None
        begin, mark = raw[: _RANDOM + _ENDS], raw[_RANDOM + _ENDS :]
        if not hmac.compare_digest(mark, self._mark(purpose, person, begin)):
            return None
        return raw if now <= int.from_bytes(begin[_RANDOM:]) else None

    def _mark(self, purpose: str, person: str, begin: bytes) -> bytes:
        return self._digest(f"webauthn {purpose}", begin + person.encode("utf-8", "surrogatepass"))


def _parsed(response: str) -> dict[str, Any]:
    if len(response) > LONGEST_RESPONSE:
        raise ValueError("too long")
    found = json.loads(response)
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found


def _credential_id(parsed: dict[str, Any]) -> bytes:
    from webauthn import base64url_to_bytes

    named = parsed.get("id")
    return base64url_to_bytes(named) if isinstance(named, str) else b""


def _public_key() -> bytes:
    """The public half of a key that nobody keeps, as COSE (RFC 9053 §7.1.1): what is checked for a credential that does
    not exist costs a signature, too."""
    numbers = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
    head, middle = bytes.fromhex("a5010203262001215820"), bytes.fromhex("225820")
    return head + numbers.x.to_bytes(32) + middle + numbers.y.to_bytes(32)
