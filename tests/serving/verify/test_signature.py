"""Signatures by a key of one's own, offline."""

import shutil

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from schemas.errors import UserError
from schemas.run_directory import RunDirectory
from serving.verify.verify import verify_runs

pytest.importorskip("OpenSSL", reason="model-signing 1.1.1 imports pyopenssl without declaring it")
pytestmark = pytest.mark.filterwarnings("default::DeprecationWarning")


@pytest.fixture
def run(served_runs, tmp_path):
    shutil.copytree(served_runs[0].root, tmp_path / "echo")
    return RunDirectory(tmp_path / "echo")


@pytest.fixture
def make_keys(tmp_path):
    def make(name):
        private = ec.generate_private_key(ec.SECP256R1())
        pem, encoding = tmp_path / f"{name}.pem", serialization.Encoding.PEM
        pem.write_bytes(
            private.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        public = tmp_path / f"{name}.pub"
        public.write_bytes(private.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo))
        return pem, public

    return make


def sign(run, key):
    from serving.verify.signature import sign_adapter

    return sign_adapter(run, key)


def verify(run, public):
    return verify_runs((run.root,), base=None, verdict_rule="require", verify_key=public)


def test_a_signed_adapter_passes_and_stays_exactly_four_files(run, make_keys):
    private, public = make_keys("mine")
    assert sign(run, private) == run.root / "adapter.sig"
    assert verify(run, public)


def test_an_unsigned_adapter_is_refused_once_a_key_is_asked_for(run, make_keys):
    with pytest.raises(UserError, match="is not signed"):
        verify(run, make_keys("mine")[1])


def test_another_keys_signature_is_refused(run, make_keys):
    sign(run, make_keys("theirs")[0])
    with pytest.raises(UserError, match="signature does not hold"):
        verify(run, make_keys("mine")[1])


def test_a_forged_manifest_that_fits_its_files_is_refused(run, make_keys, adapter_runs, give_verdict):
    private, public = make_keys("mine")
    sign(run, private)
    (run.adapter / "README.md").write_text("another card\n")
    adapter_runs.seal(run)
    give_verdict(run)
    with pytest.raises(UserError, match="signature does not hold"):
        verify(run, public)


def test_a_file_that_is_no_key_cannot_sign(run, tmp_path):
    (tmp_path / "no.pem").write_text("no key")
    with pytest.raises(UserError, match="the key cannot sign"):
        sign(run, tmp_path / "no.pem")
