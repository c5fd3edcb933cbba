"""TLS under SMPP: from the configuration to a context, and from what OpenSSL says to sentences for an operator.

SMPP knows nothing of TLS: by custom the stream is encrypted from the first octet (RFC 8446). The peer is verified
unless the configuration says otherwise in so many words.
"""

import hashlib
import ssl
from typing import Any, Final

from stentor_smpp.tables import TLSTable

Context = ssl.SSLContext

_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_HOSTNAME_MISMATCH, _ADDRESS_MISMATCH = 62, 64
_EXPIRED, _NOT_YET_VALID = 10, 9
_UNTRUSTED: Final = frozenset({2, 18, 19, 20, 21})
_REASONS: Final = {
    "WRONG_VERSION_NUMBER": "the peer does not speak TLS",
    "RECORD_LAYER_FAILURE": "the peer does not speak TLS",
    "UNSUPPORTED_PROTOCOL": "the peer speaks only older versions of TLS than we accept",
    "TLSV1_ALERT_PROTOCOL_VERSION": "the peer and we accept no common version of TLS",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the peer asks for a client certificate",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the peer refused the handshake; it may ask for a client certificate",
    "TLSV1_ALERT_UNKNOWN_CA": "the peer does not trust our client certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the peer does not accept our client certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "our client certificate has expired",
    "KEY_VALUES_MISMATCH": "tls.key_file does not belong to tls.certificate_file",
    "NO_CERTIFICATE_OR_CRL_FOUND": "tls.ca_file holds no certificate",
}


def make_context(tls: TLSTable) -> ssl.SSLContext:
    """A client's context. Raises OSError (ssl.SSLError is one) for files that cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = _VERSIONS[tls.minimum_version]
    if not tls.verify or tls.fingerprint:
        # With a fingerprint the certificate itself is known, whoever signed it: see ``pin_fault``.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif tls.ca_file:
        context.load_verify_locations(tls.ca_file)
    else:
        context.load_default_certs()
    if tls.certificate_file:
        context.load_cert_chain(tls.certificate_file, tls.key_file or None, _no_pass_phrase)
    return context


def _no_pass_phrase() -> str:
    # Otherwise OpenSSL would ask at the terminal and the daemon would stand still.
    raise ssl.SSLError("tls.key_file has a pass phrase, and nobody is there to type it")


def pin_fault(fingerprint: str, connection: Any) -> str:
    """Why the peer of this ``ssl_object`` is not the one that was pinned; empty if it is, or if none was."""
    if not fingerprint:
        return ""
    certificate: bytes | None = connection.getpeercert(binary_form=True)
    found = hashlib.sha256(certificate or b"").hexdigest()
    if found == fingerprint.replace(":", "").lower():
        return ""
    return f"the certificate's fingerprint is {found}, not the one in tls.fingerprint"


def describe(tls: TLSTable, connection: Any) -> str:
    """For the status: the version in use, and whether the peer proved who it is."""
    return f"{connection.version()}{'' if tls.verify else ', certificate not verified'}"


def sentence(error: BaseException, name: str) -> str | None:
    """What went wrong with TLS, in words; None for an error that is none of TLS. ``name``: whom we expected."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate(error, name)
    if isinstance(error, ConnectionError) and not str(error):
        # asyncio's and uvloop's way of telling this, and only this.
        return "the peer closed the connection during the TLS handshake; does it speak TLS?"
    if not isinstance(error, ssl.SSLError):
        return None
    reason = getattr(error, "reason", None) or ""
    return _REASONS.get(reason) or f"TLS failed: {reason.lower().replace('_', ' ') or error.args[-1]}"


def _certificate(error: ssl.SSLCertVerificationError, name: str) -> str:
    match error.verify_code:
        case code if code in (_HOSTNAME_MISMATCH, _ADDRESS_MISMATCH):
            return f'the certificate is not for "{name}"; tls.server_name says what name to expect'
        case code if code == _EXPIRED:
            return "the certificate has expired"
        case code if code == _NOT_YET_VALID:
            return "the certificate is not valid yet; is the clock right?"
        case code if code in _UNTRUSTED:
            return f"the certificate is not trusted ({error.verify_message}); tls.ca_file names who signs it"
        case _:
            return f"the certificate cannot be verified: {error.verify_message}"
