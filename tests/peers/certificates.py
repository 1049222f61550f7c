"""A throwaway certificate authority with one server and one client certificate, as files and as ``ssl`` contexts."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Certificates:
    """PEM files: the authority, and certificate with key of a server (``localhost``, ``127.0.0.1``) and of a client."""

    authority: Path
    server_certificate: Path
    server_key: Path
    client_certificate: Path
    client_key: Path

    def plain_client_context(self, *, with_certificate: bool = True) -> ssl.SSLContext:
        """A context from the standard library alone, for peers that do not use ours (pynetdicom)."""
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(self.authority))
        if with_certificate:
            context.load_cert_chain(self.client_certificate, self.client_key)
        return context


def issue(home: Path) -> Certificates:
    """Makes authority and certificates below ``home``."""
    home.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    server = authority.issue_cert("localhost", "127.0.0.1", common_name="server.test")
    client = authority.issue_cert("client.test", common_name="client.test")
    files = Certificates(
        home / "authority.pem", home / "server.pem", home / "server.key", home / "client.pem", home / "client.key"
    )
    authority.cert_pem.write_to_path(files.authority)
    for leaf, certificate, key in (
        (server, files.server_certificate, files.server_key),
        (client, files.client_certificate, files.client_key),
    ):
        leaf.private_key_pem.write_to_path(key)
        certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    return files
