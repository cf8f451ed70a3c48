"""Signs and verifies adapters and verdicts with OpenSSF model-signing and a key of one's own; nothing leaves the machine.

What is checked are bytes that nobody else can change any more: the private copy of the adapter that the engine will
load, and the verdict as it was read. Keys are elliptic-curve PEM files:
`openssl ecparam -name prime256v1 -genkey -noout -out private.pem`, then
`openssl ec -in private.pem -pubout -out public.pem`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.adapter_reader import read_adapter
from schemas.errors import OK, UserError
from schemas.evaluation.verdict import Verdict
from schemas.run_directory import RunDirectory
from serving.engine.adapter_cache import store_adapter
from serving.options import cache_directory

_KEY_FIX = "openssl ecparam -name prime256v1 -genkey -noout -out private.pem makes a private key"


def adapter_signature(run: RunDirectory) -> Path:
    """Beside the adapter, not in it: the adapter is exactly its four files."""
    return run.root / "adapter.sig"


def verdict_signature(run: RunDirectory) -> Path:
    """Beside the verdict."""
    return run.root / "verdict.sig"


def sign(argv: list[str]) -> int:
    """`python -m serving sign RUN --key private.pem`."""
    parser = argparse.ArgumentParser(
        prog="python -m serving sign",
        description="Verifies an adapter's files and, where there is one, its verdict, then signs them (OpenSSF model "
        "signing). Whoever serves with --verify-key accepts only what the key's owner has signed.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="run directory")
    parser.add_argument("--key", type=Path, required=True, help="private key, PEM, elliptic curve")
    arguments = parser.parse_args(argv)
    run = RunDirectory(arguments.run)
    print(sign_adapter(run, arguments.key))
    if run.verdict.exists():
        print(sign_verdict(run, arguments.key))
    return OK


def sign_adapter(run: RunDirectory, private_key: Path) -> Path:
    """Signs every file of a verified adapter and returns the signature's path.

    Raises:
        UserError: the adapter is damaged, or the key cannot be used.
    """
    stored = store_adapter(read_adapter(run.adapter), cache_directory())
    return _sign(stored, adapter_signature(run), private_key)


def sign_verdict(run: RunDirectory, private_key: Path) -> Path:
    """Signs the verdict over the run's adapter, whatever it decides, and returns the signature's path.

    Raises:
        UserError: the verdict contradicts itself or is over another adapter, or the key cannot be used.
    """
    written = run.verdict.read_bytes()
    verdict = Verdict.from_bytes(written, where=run.verdict)
    if verdict.adapter.manifest_sha256 != read_adapter(run.adapter).manifest_sha256:
        raise UserError("the verdict was formed over another adapter", where=run.verdict, fix="run the gate again")
    with _private_copy(written) as copy:
        return _sign(copy, verdict_signature(run), private_key)


def require_signature(stored: Path, signature: Path, public_key: Path) -> None:
    """Refuses an adapter that the key's owner has not signed as it is.

    Args:
        stored: directory of the adapter's private copy.
        signature: where the signature lies.
        public_key: the owner's key.

    Raises:
        UserError: no signature, another key's, or one over other bytes.
    """
    _verify(stored, signature, public_key, what="the adapter")


def require_signed_bytes(data: bytes, read_from: Path, signature: Path, public_key: Path) -> None:
    """Refuses a file's bytes, as they were read, that the key's owner has not signed.

    Raises:
        UserError: no signature, another key's, or one over other bytes.
    """
    with _private_copy(data) as copy:
        _verify(copy, signature, public_key, what=read_from.name)


@contextmanager
def _private_copy(data: bytes) -> Iterator[Path]:
    """A file that only this process writes: the library takes paths, and reads them itself."""
    with tempfile.TemporaryDirectory(prefix="echo-lora-") as directory:
        copy = Path(directory) / "signed"
        copy.write_bytes(data)
        yield copy


def _sign(what: Path, signature: Path, private_key: Path) -> Path:
    from model_signing import signing

    try:
        signing.Config().use_elliptic_key_signer(private_key=private_key).sign(what, signature)
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"the key cannot sign: {error}", where=private_key, fix=_KEY_FIX) from None
    return signature


def _verify(stored: Path, signature: Path, public_key: Path, *, what: str) -> None:
    from model_signing import verifying

    if not public_key.is_file():
        raise UserError("the public key is missing", where=public_key, fix=_KEY_FIX)
    if not signature.is_file():
        raise UserError(
            f"{what} is not signed",
            where=signature,
            fix=f"python -m serving sign {signature.parent} --key PRIVATE.pem",
        )
    try:
        verifying.Config().use_elliptic_key_verifier(public_key=public_key).verify(stored, signature)
    except Exception as error:  # the library raises many kinds; none of them may open the gate
        raise UserError(
            f"the signature of {what} does not hold: {error}",
            where=signature,
            fix="ask the key's owner to sign it again",
        ) from None
