"""Certificates for tests of TLS, made by the openssl command line: two authorities and what they signed."""

import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

import pytest

NAME: Final = "smsc.test"
_SERVER: Final = f"subjectAltName=DNS:{NAME},IP:127.0.0.1\n"
_CA: Final = """[ca]
default_ca = it
[it]
dir = {folder}
database = $dir/index
new_certs_dir = $dir
serial = $dir/serial
default_md = sha256
policy = any
[any]
commonName = supplied
"""


class Certificates:
    """Paths below one folder: ``x.pem`` and ``x.key`` for each name made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._authority("ca")
        self._authority("stranger")
        self._signed("server", _SERVER)
        self._signed("client", "extendedKeyUsage=clientAuth\n")
        self._signed("expired", _SERVER, ("-startdate", "200101000000Z", "-enddate", "200201000000Z"))
        self._signed("early", _SERVER, ("-startdate", "480101000000Z", "-enddate", "490101000000Z"))

    def pem(self, name: str) -> str:
        return str(self.folder / f"{name}.pem")

    def key(self, name: str) -> str:
        return str(self.folder / f"{name}.key")

    def fingerprint(self, name: str) -> str:
        said = self._run("x509", "-in", f"{name}.pem", "-noout", "-fingerprint", "-sha256")
        return said.strip().partition("=")[2]

    def _authority(self, name: str) -> None:
        extensions = ("-addext", "keyUsage=critical,keyCertSign")
        out = ("-out", f"{name}.pem", "-days", "30")
        self._run("req", "-x509", *self._new_key(name), *out, *extensions)

    def _signed(self, name: str, extensions: str, dates: tuple[str, ...] = ("-days", "30")) -> None:
        (self.folder / "ca.cnf").write_text(_CA.format(folder=self.folder))
        (self.folder / "index").write_text("")
        (self.folder / "serial").write_text("01\n")
        (self.folder / "extensions").write_text(extensions)
        self._run("req", "-new", *self._new_key(name), "-out", f"{name}.csr")
        signer = ("-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key", "-extfile", "extensions")
        self._run("ca", "-batch", "-notext", *signer, "-in", f"{name}.csr", "-out", f"{name}.pem", *dates)

    @staticmethod
    def _new_key(name: str) -> tuple[str, ...]:
        kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        return (*kind, "-keyout", f"{name}.key", "-subj", f"/CN={name}")

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            ["openssl", *arguments], cwd=self.folder, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@cache
def certificates() -> Certificates:
    """Made once for all tests of a run; a test that needs them is skipped where openssl is not installed."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command line makes the certificates")
    return Certificates(Path(mkdtemp(prefix="stentor-tls-")))
