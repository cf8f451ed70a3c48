"""Signatures by a key of one's own, offline."""

import shutil

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from schemas.errors import UserError
from schemas.run_directory import RunDirectory
from serving.engine.adapter_cache import changed_files
from serving.verify.signature import require_signature, sign
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


def sign_all(run, private):
    assert sign([str(run.root), "--key", str(private)]) == 0


def verify(run, public):
    return verify_runs((run.root,), base=None, verdict_rule="require", verify_key=public)


def test_a_signed_run_passes_and_its_adapter_stays_exactly_four_files(run, make_keys, capsys):
    private, public = make_keys("mine")
    sign_all(run, private)
    assert capsys.readouterr().out.split() == [str(run.root / "adapter.sig"), str(run.root / "verdict.sig")]
    assert verify(run, public)


@pytest.mark.parametrize(("unsigned", "what"), [("adapter.sig", "the adapter"), ("verdict.sig", "verdict.json")])
def test_what_is_not_signed_is_refused_once_a_key_is_asked_for(run, make_keys, unsigned, what):
    private, public = make_keys("mine")
    sign_all(run, private)
    (run.root / unsigned).unlink()
    with pytest.raises(UserError, match=f"{what} is not signed"):
        verify(run, public)


def test_another_keys_signature_is_refused(run, make_keys):
    sign_all(run, make_keys("theirs")[0])
    with pytest.raises(UserError, match="signature of the adapter does not hold"):
        verify(run, make_keys("mine")[1])


def test_a_forged_manifest_that_fits_its_files_is_refused(run, make_keys, adapter_runs, give_verdict):
    private, public = make_keys("mine")
    sign_all(run, private)
    (run.adapter / "README.md").write_text("another card\n")
    adapter_runs.seal(run)
    give_verdict(run)
    with pytest.raises(UserError, match="signature of the adapter does not hold"):
        verify(run, public)


def test_a_verdict_that_was_written_after_the_signature_is_refused(run, make_keys, give_verdict):
    private, public = make_keys("mine")
    sign_all(run, private)
    give_verdict(run)
    with pytest.raises(UserError, match=r"signature of verdict\.json does not hold"):
        verify(run, public)


def test_what_is_checked_is_the_copy_that_is_loaded(run, make_keys, monkeypatch):
    """The run's files are exchanged after they were read, before the signature is looked at."""
    private, public = make_keys("mine")
    sign_all(run, private)
    checked = []

    def exchange_then_check(stored, signature, key):
        (run.adapter / "adapter_model.safetensors").write_bytes(b"other weights")
        checked.append(stored)
        require_signature(stored, signature, key)

    monkeypatch.setattr("serving.verify.verify.require_signature", exchange_then_check)
    (candidate,) = verify(run, public)
    assert checked == [candidate.stored]
    assert changed_files(candidate.adapter, candidate.stored) == []


def test_a_verdict_over_another_adapter_is_not_signed(run, served_runs, make_keys, give_verdict):
    give_verdict(run, adapter=served_runs[1])
    with pytest.raises(UserError, match="formed over another adapter"):
        sign_all(run, make_keys("mine")[0])


def test_a_file_that_is_no_key_cannot_sign(run, tmp_path):
    (tmp_path / "no.pem").write_text("no key")
    with pytest.raises(UserError, match="the key cannot sign"):
        sign_all(run, tmp_path / "no.pem")
