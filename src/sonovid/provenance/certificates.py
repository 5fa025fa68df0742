"""The certificate that files are signed with: this machine's own, created on first use, or the user's."""

import datetime
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

# Environment variables: the folder of this machine's certificate, and the user's own certificate chain and private key.
HOME_VARIABLE, CHAIN_VARIABLE, KEY_VARIABLE = "SONOVID_PROVENANCE_HOME", "SONOVID_CERTIFICATE", "SONOVID_PRIVATE_KEY"
VALID_YEARS = 10


@dataclass(frozen=True)
class SigningIdentity:
    """A certificate chain and its private key, as PEM.

    Args:
        chain: The certificates, the signer's own first.
        key: The private key.
        root: The last certificate of the chain.
    """

    chain: bytes
    key: bytes
    root: bytes


def certificate_folder() -> Path:
    """The folder of this machine's own certificate, in the user's configuration."""
    if named := os.environ.get(HOME_VARIABLE):
        return Path(named)
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "sonovid" / "provenance"


def signing_identity() -> SigningIdentity:
    """The certificate that the environment names, or this machine's own, which is created if there is none.

    Raises:
        ValueError: only one of the two variables is set, or a file cannot be read or holds no certificate.
    """
    chain, key = os.environ.get(CHAIN_VARIABLE), os.environ.get(KEY_VARIABLE)
    if bool(chain) != bool(key):
        raise ValueError(f"{CHAIN_VARIABLE} and {KEY_VARIABLE} go together: set both to PEM files, or neither")
    if chain and key:
        return _read(Path(chain), Path(key))
    folder = certificate_folder()
    if not (folder / "chain.pem").is_file():
        _create_certificates(folder)
    return _read(folder / "chain.pem", folder / "key.pem")


def local_root() -> bytes | None:
    """The root of this machine's own certificate, or None if it was not created yet."""
    path = certificate_folder() / "chain.pem"
    return _last_certificate(path.read_bytes()) if path.is_file() else None


def _read(chain: Path, key: Path) -> SigningIdentity:
    try:
        pem, secret = chain.read_bytes(), key.read_bytes()
    except OSError as error:
        raise ValueError(f"certificate {error.filename}: cannot be read ({error.strerror})") from None
    if b"BEGIN CERTIFICATE" not in pem or b"PRIVATE KEY" not in secret:
        raise ValueError(f"certificate {chain}, key {key}: expected PEM files, a chain of certificates and its private key")
    return SigningIdentity(pem, secret, _last_certificate(pem))


def _last_certificate(pem: bytes) -> bytes:
    begin = pem.rindex(b"-----BEGIN CERTIFICATE-----")
    return pem[begin:]


def _create_certificates(folder: Path) -> None:
    """Create a root and a signing certificate below it (ES256). C2PA accepts no self-signed signing certificate.

    The root's key is not kept, so that nothing else can be signed in its name.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def name(common: str) -> x509.Name:
        parts = [(NameOID.ORGANIZATION_NAME, "Sonovid, self-signed"), (NameOID.COMMON_NAME, common)]
        return x509.Name([x509.NameAttribute(kind, value) for kind, value in parts])

    now = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=5)
    until = now + datetime.timedelta(days=365 * VALID_YEARS)
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    suffix = secrets.token_hex(4)
    root_name = name(f"Sonovid root {suffix}")

    def certificate(subject: x509.Name, public: ec.EllipticCurvePublicKey, *, ca: bool) -> x509.Certificate:
        usage = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False)
        usage |= {
            "digital_signature": not ca,
            "key_cert_sign": ca,
            "crl_sign": ca,
            "encipher_only": False,
            "decipher_only": False,
        }
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(root_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=0 if ca else None), critical=True)
            .add_extension(x509.KeyUsage(**usage), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        )
        if not ca:
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        return builder.sign(root_key, hashes.SHA256())

    chain = [
        certificate(name(f"Sonovid on one machine {suffix}"), key.public_key(), ca=False),
        certificate(root_name, root_key.public_key(), ca=True),
    ]
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{suffix}")
    temporary.mkdir(mode=0o700)
    try:
        (temporary / "key.pem").touch(mode=0o600)
        (temporary / "key.pem").write_bytes(secret)
        (temporary / "chain.pem").write_bytes(b"".join(one.public_bytes(pem) for one in chain))
        # If several processes create one at the same time, the first one is kept.
        if not folder.exists():
            os.rename(temporary, folder)
    except OSError:
        if not (folder / "chain.pem").is_file():
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
