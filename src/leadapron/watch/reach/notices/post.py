"""One conversation with the mail server, cut where it matters: before the message, and with it.

``envelope`` goes as far as RCPT; until then nothing of the message has left, and whatever happens it can be tried
again. ``message`` is DATA. Its outcome is what the server answered, or `Lost`: the connection ended or fell silent when
the message had begun to leave, and nobody can know. What a server writes beside its code goes nowhere (it may say
anything); only the code and the enhanced status (RFC 3463), which are digits, are kept.
"""

from __future__ import annotations

import contextlib
import platform
import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Final

from leadapron.kernel.errors import Failure, UsageError
from leadapron.watch.reach.notices.settings import Notices as Settings

if TYPE_CHECKING:
    import aiosmtplib

_LONGEST_PASSWORD: Final = 1024
_CLOSES: Final = 421  # RFC 5321 §3.8: whatever was asked
_ENHANCED: Final = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}(?![0-9.])")


class Refused(Exception):
    """The server answered no. ``later``: 4xx, try again; else 5xx. ``code`` as digits: ``550 5.1.1``."""

    def __init__(self, status: int, text: str) -> None:
        enhanced = _ENHANCED.match(text)
        self.later = 400 <= status < 500
        self.code = f"{status} {enhanced[0]}" if enhanced is not None else str(status)
        super().__init__(self.code)


class SenderRefused(Failure):
    """The server does not take mail from this sender: no fault of the notice, nor one of other senders."""


class Lost(Exception):
    """The connection ended, or nothing came in time, while the message was handed over."""


class Interrupted(Exception):
    """The connection ended, or nothing came in time, at the envelope: nothing of the message had left."""


class PostOffice:
    """The mail server; connects when there is something to send and stays connected while all goes well."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._server = settings.server()
        self._password = _password(settings)
        self._client: aiosmtplib.SMTP | None = None

    async def envelope(self, sender: str, recipient: str) -> None:
        """MAIL and RCPT. Raises `Refused` where the recipient is, `Interrupted` where the server fell silent over it;
        ``Failure`` where it can't be reached, won't let us in, or won't have our sender: not the notice's fault."""
        import aiosmtplib

        client = await self._mail(sender)
        try:
            await client.rcpt(recipient)
        except aiosmtplib.SMTPResponseException as error:
            if 200 <= error.code < 300:
                return  # 252, say: it is content (RFC 5321 §4.2.1)
            self.hang_up()
            if not 400 <= error.code < 600:
                raise Interrupted from None  # what it answers means nothing
            raise Refused(error.code, str(error.message)) from None
        except aiosmtplib.SMTPException:
            self.hang_up()
            raise Interrupted from None

    async def _mail(self, sender: str) -> aiosmtplib.SMTP:
        """MAIL. A server that has enough of a connection (so many messages, so long a wait) gets a new one."""
        import aiosmtplib

        used = self._client is not None
        client = await self._connected()
        try:
            await client.mail(sender)
        except aiosmtplib.SMTPException as error:
            self.hang_up()
            code = error.code if isinstance(error, aiosmtplib.SMTPResponseException) else None
            if code is not None and code != _CLOSES and 400 <= code < 600:
                raise SenderRefused(f"{self._name()} does not take mail from {sender}: {code}") from None
            if used:
                return await self._mail(sender)
            raise Failure(f"{self._name()} can't be used: {_why(error)}") from None
        return client

    async def message(self, message: bytes) -> str:
        """DATA: gives the code with which it was accepted. Raises `Refused` or `Lost`, which is also what an answer
        means that is neither yes nor no: it may be to the command or to the message."""
        import aiosmtplib

        assert self._client is not None
        try:
            response = await self._client.data(message)
        except aiosmtplib.SMTPResponseException as error:
            self.hang_up()
            if not 400 <= error.code < 600:
                raise Lost from None
            raise Refused(error.code, str(error.message)) from None
        except (aiosmtplib.SMTPException, OSError):
            self.hang_up()
            raise Lost from None
        return str(response.code)

    async def close(self) -> None:
        """Leave politely, if all went well until now."""
        if self._client is not None:
            import aiosmtplib

            with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                await self._client.quit(timeout=min(5.0, self._settings.timeout_s))
        self.hang_up()

    def hang_up(self) -> None:
        """Leave at once: after an answer that was no, the server's state is no concern of ours."""
        if self._client is not None:
            self._client.close()
        self._client = None

    async def _connected(self) -> aiosmtplib.SMTP:
        import aiosmtplib

        if self._client is not None and self._client.is_connected:
            return self._client
        mode = self._settings.tls
        client = aiosmtplib.SMTP(
            hostname=self._server.host,
            port=self._server.port,
            use_tls=mode == "implicit",
            start_tls=mode == "starttls",  # required: True fails where the server has none
            tls_context=None if mode == "none" else _context(self._settings),
            timeout=self._settings.timeout_s,
            local_hostname=re.sub(r"[^A-Za-z0-9.-]", "", platform.node()) or "localhost",
        )
        try:
            await client.connect()
            if self._settings.user is not None and self._password is not None:
                await client.login(self._settings.user, self._password)
        except (aiosmtplib.SMTPException, OSError) as error:
            client.close()
            raise Failure(f"{self._name()} can't be used: {_why(error)}") from None
        self._client = client
        return client

    def _name(self) -> str:
        return f"the mail server {self._server}"


def _context(settings: Settings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=settings.ca)
    except OSError as error:
        raise UsageError(f"[notices] ca: {settings.ca} can't be read: {error.strerror or 'no certificate'}") from None


def _password(settings: Settings) -> str | None:
    """The file's first line. Raises `UsageError` where it can't be read or others may."""
    if settings.password_file is None:
        return None
    path = Path(settings.password_file).expanduser()
    try:
        if path.stat().st_mode & 0o077:
            raise UsageError(f"[notices] password_file: others may read {path}: chmod 600 {path}")
        with path.open(encoding="utf-8") as file:
            return file.readline(_LONGEST_PASSWORD).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(f"[notices] password_file: {path} can't be read: {reason}") from None


def _code(error: Exception) -> str:
    code = getattr(error, "code", None)
    return f": {code}" if isinstance(code, int) else ""


def _why(error: Exception) -> str:
    """In our words: an exception's text may hold what the server said."""
    import aiosmtplib

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate does not hold ({cause.verify_message}). Name its authority: ca = FILE"
        if isinstance(cause, ssl.SSLError):
            return "the TLS handshake failed. See that tls (starttls, implicit) and the port belong together"
        if isinstance(cause, ConnectionRefusedError):
            return "nothing listens there"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return f"it does not know user and password{_code(error)}"
    if isinstance(error, aiosmtplib.SMTPTimeoutError):
        return "nothing came in time"
    if isinstance(error, aiosmtplib.SMTPServerDisconnected):
        return "it ended the conversation"
    if isinstance(error, aiosmtplib.SMTPNotSupported) or type(error) is aiosmtplib.SMTPException:
        return "it offers no STARTTLS, or no login that we know, and nothing is sent without"
    return f"{type(error).__name__}{_code(error)}"
