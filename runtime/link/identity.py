"""Identities of one run: a key, a self-signed certificate and its fingerprint on each end.

Nothing is registered, mailed, rotated or revoked: an identity dies with the run. Each end knows the
other's certificate from a channel that the AWS account authenticates (see docs/adr/0003).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import socket
import ssl
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from runtime.contract import ExitCode, FedstackError

SERVER_NAME = "fedstack-server"
CLOCK_SKEW = dt.timedelta(minutes=15)


@dataclass(frozen=True)
class Identity:
    """A private key and its self-signed certificate, both PEM; the key never leaves the process."""

    certificate: bytes
    key: bytes = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """The certificate's `sha256:<hex>` fingerprint."""
        return fingerprint(self.certificate)


def make_identity(name: str, lifetime_seconds: float) -> Identity:
    """Make an ECDSA P-256 key and a self-signed certificate that ends with the run.

    Parameters
    ----------
    name
        Common name and alternative name in the certificate: a DNS name, or an IP address.
    lifetime_seconds
        How long the run may take; both ends' clocks may differ by 15 minutes.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + dt.timedelta(seconds=lifetime_seconds) + CLOCK_SKEW)
        .add_extension(x509.SubjectAlternativeName([_general_name(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Identity(
        certificate=certificate.public_bytes(serialization.Encoding.PEM),
        key=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def fingerprint(certificate: bytes) -> str:
    """Return the `sha256:<hex>` fingerprint of a PEM certificate.

    Raises
    ------
    ValueError
        When it is not a PEM certificate.
    """
    der = x509.load_pem_x509_certificate(certificate).public_bytes(serialization.Encoding.DER)
    return f"sha256:{hashlib.sha256(der).hexdigest()}"


def only_certificate(pem: bytes) -> bytes:
    """Return the first certificate of a PEM text alone: what follows it would be trusted as well.

    Raises
    ------
    ValueError
        When there is none.
    """
    return x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.PEM)


def fetch_certificate(address: str, pinned: str, timeout: float) -> bytes:
    """Ask a server for its certificate and return it (PEM) only if its fingerprint is the pinned one.

    Raises
    ------
    FedstackError
        With ExitCode.IDENTITY, when another certificate was shown.
    OSError
        When nobody answers at the address.
    """
    host, _, port = address.rpartition(":")
    # Unverified on purpose: the fingerprint below decides, and nothing is sent before it has.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((host, int(port)), timeout=timeout) as plain,
        context.wrap_socket(plain) as secure,
    ):
        der = secure.getpeercert(binary_form=True)
    if der is None:
        raise OSError(f"{address} showed no certificate")
    shown = f"sha256:{hashlib.sha256(der).hexdigest()}"
    if shown != pinned:
        raise FedstackError(
            ExitCode.IDENTITY,
            f"The server at {address} has fingerprint {shown}, but the invitation says {pinned}.",
            "Do not retry: either the invitation is of another run, or somebody is in between.",
        )
    return ssl.DER_cert_to_PEM_cert(der).encode()
