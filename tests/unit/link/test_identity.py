from __future__ import annotations

import datetime as dt
import ipaddress
import re

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from runtime.contract import INVITATION_PATTERNS, JobOption
from runtime.link.identity import CLOCK_SKEW, fingerprint, make_identity


def parsed(certificate: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(certificate)


def test_every_identity_is_new() -> None:
    one, other = make_identity("clinic", 60), make_identity("clinic", 60)
    assert one.key != other.key
    assert one.fingerprint != other.fingerprint


def test_the_key_belongs_to_the_certificate_and_is_an_elliptic_curve() -> None:
    own = make_identity("clinic", 60)
    key = serialization.load_pem_private_key(own.key, password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == "secp256r1"
    assert key.public_key() == parsed(own.certificate).public_key()


def test_the_key_is_not_shown() -> None:
    own = make_identity("clinic", 60)
    assert "PRIVATE" not in repr(own)


def test_a_certificate_ends_with_its_run_and_signs_no_other() -> None:
    before = dt.datetime.now(dt.UTC).replace(microsecond=0)
    certificate = parsed(make_identity("clinic", 3600).certificate)
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert life == dt.timedelta(hours=1) + 2 * CLOCK_SKEW
    assert certificate.not_valid_before_utc >= before - CLOCK_SKEW
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert not constraints.value.ca


@pytest.mark.parametrize(
    ("name", "general"),
    [
        ("clinic", x509.DNSName("clinic")),
        ("127.0.0.1", x509.IPAddress(ipaddress.ip_address("127.0.0.1"))),
        ("::1", x509.IPAddress(ipaddress.ip_address("::1"))),
    ],
)
def test_a_certificate_names_a_host_or_an_address(name: str, general: x509.GeneralName) -> None:
    certificate = parsed(make_identity(name, 60).certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [general]


def test_a_fingerprint_is_of_the_certificate_not_of_its_spelling() -> None:
    own = make_identity("clinic", 60)
    assert re.fullmatch(INVITATION_PATTERNS[JobOption.SERVER_FINGERPRINT], own.fingerprint)
    assert fingerprint(b"a comment\n" + own.certificate.replace(b"\n", b"\r\n")) == own.fingerprint


@pytest.mark.parametrize("text", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_what_is_no_certificate_has_no_fingerprint(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        fingerprint(text)
