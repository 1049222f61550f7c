"""A security key in software, by the letter of WebAuthn Level 2: §6.1 (authenticator data), §6.5.4 (attestation object,
format none), §5.8.1 (client data). Written without the library that is tested."""

from __future__ import annotations

import base64
import json
import secrets
from hashlib import sha256
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

PRESENT, ATTESTED = 0x01, 0x40


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Key:
    """``counts``: whether it has a signature counter; ``origin``: what the browser says the page is."""

    def __init__(self, origin: str, *, counts: bool = True) -> None:
        self.origin = origin
        self.counts = counts
        self.counter = 0
        self.credential = secrets.token_bytes(32)
        self._private = ec.generate_private_key(ec.SECP256R1())

    def create(self, options: str) -> str:
        asked = json.loads(options)
        client = self._client("webauthn.create", asked["challenge"])
        numbers = self._private.public_key().public_numbers()
        public = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32)}
        data = self._data(asked["rp"]["id"], PRESENT | ATTESTED)
        data += bytes(16) + len(self.credential).to_bytes(2) + self.credential + cbor2.dumps(public)
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        return self._answer({"clientDataJSON": encoded(client), "attestationObject": encoded(attestation)})

    def get(self, options: str, *, flags: int = PRESENT) -> str:
        asked = json.loads(options)
        client = self._client("webauthn.get", asked["challenge"])
        self.counter += self.counts
        data = self._data(asked["rpId"], flags)
        signature = self._private.sign(data + sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        return self._answer(
            {
                "clientDataJSON": encoded(client),
                "authenticatorData": encoded(data),
                "signature": encoded(signature),
            }
        )

    def _client(self, what: str, challenge: str) -> bytes:
        return json.dumps({"type": what, "challenge": challenge, "origin": self.origin}).encode()

    def _data(self, rp_id: str, flags: int) -> bytes:
        return sha256(rp_id.encode()).digest() + bytes([flags]) + self.counter.to_bytes(4)

    def _answer(self, response: dict[str, Any]) -> str:
        name = encoded(self.credential)
        return json.dumps({"id": name, "rawId": name, "type": "public-key", "response": response})
