"""The certificate of a simulated fleet that serves its Kubernetes APIs over HTTPS: kubectl sends tokens only there."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from blocks.files import write_atomically

VALID_FOR = datetime.timedelta(days=3650)


def certificate(folder: Path) -> tuple[Path, Path]:
    """PEM files of a certificate for this machine's loopback, which is its own authority, and of its key.

    Made at the first call, and the same from then on.
    """
    files = folder / "tls.crt", folder / "tls.key"
    if not all(file.exists() for file in files):
        key = ec.generate_private_key(ec.SECP256R1())
        form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        write_atomically(files[1], key.private_bytes(serialization.Encoding.PEM, *form).decode(), mode=0o600)
        write_atomically(files[0], _signed(key).public_bytes(serialization.Encoding.PEM).decode())
    return files


def _signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "simulated fleet")])
    begins = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    loopback = [x509.DNSName("localhost"), *(x509.IPAddress(ipaddress.ip_address(a)) for a in ("127.0.0.1", "::1"))]
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(begins).not_valid_after(begins + VALID_FOR)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return builder.add_extension(x509.SubjectAlternativeName(loopback), critical=False).sign(key, hashes.SHA256())
