"""The rules that findings cite.

HIPAA's Security Rule is 45 CFR Part 164 Subpart C. PS3.15 sections are those of the editions since 2023, where the
older TLS profiles are retired in favour of §B.12 and §B.13.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct


class Reference(Struct, frozen=True):
    """``cite`` is what one looks up, ``says`` what is found there."""

    cite: str
    says: str


HIPAA_ACCESS: Final = Reference(
    "45 CFR 164.312(a)(1)", "access control: only persons and programs that were granted access rights"
)
HIPAA_UNIQUE: Final = Reference("45 CFR 164.312(a)(2)(i)", "unique user identification")
HIPAA_INTEGRITY: Final = Reference(
    "45 CFR 164.312(c)(1)", "integrity: health information is protected from improper alteration or destruction"
)
HIPAA_AUTHENTICATION: Final = Reference(
    "45 CFR 164.312(d)", "person or entity authentication: who asks for access is the one claimed"
)
HIPAA_TRANSMISSION: Final = Reference(
    "45 CFR 164.312(e)(1)", "transmission security: guarded against access by others while it is transmitted"
)
HIPAA_ENCRYPTION: Final = Reference(
    "45 CFR 164.312(e)(2)(ii)", "encryption in transmission, whenever deemed appropriate"
)
HIPAA_RISK: Final = Reference(
    "45 CFR 164.308(a)(1)(ii)(B)", "risk management: vulnerabilities are reduced to a reasonable level"
)
PS315_TLS: Final = Reference(
    "DICOM PS3.15 §B.12", "BCP 195 RFC 8996 TLS Secure Transport Connection Profile (TLS 1.2 or later)"
)
PS315_TLS_MODIFIED: Final = Reference(
    "DICOM PS3.15 §B.13", "Modified BCP 195 RFC 8996 TLS Secure Transport Connection Profile"
)
PS315_IDENTITY: Final = Reference(
    "DICOM PS3.15 §B.5", "User Identity Plus Passcode Association Profile: one way to say who is asking"
)
PS315_NODE_ALERT: Final = Reference("DICOM PS3.15 §A.5.3.11", "a security alert for each failed node authentication")
PS38_AE_TITLE: Final = Reference(
    "DICOM PS3.8 §9.3.4", "an association may be rejected because of the called or the calling AE title"
)
PS34_STORE: Final = Reference("DICOM PS3.4 Annex B", "Storage Service Class")
NIST_PACS: Final = Reference("NIST SP 1800-24", "Securing Picture Archiving and Communication System")
CVE_PREAMBLE: Final = Reference(
    "CVE-2019-11687", "the 128-octet preamble of a DICOM file can hold a program: what is stored may be run by others"
)
