"""Signs and verifies an adapter with OpenSSF model-signing and a key of one's own; nothing leaves the machine.

Keys are elliptic-curve PEM files: `openssl ecparam -name prime256v1 -genkey -noout -out private.pem`, then
`openssl ec -in private.pem -pubout -out public.pem`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from schemas.adapter_reader import read_adapter
from schemas.errors import OK, UserError
from schemas.run_directory import RunDirectory


def signature_path(run: RunDirectory) -> Path:
    """Beside the adapter, not in it: the adapter is exactly its four files."""
    return run.root / "adapter.sig"


def sign(argv: list[str]) -> int:
    """`python -m serving sign RUN --key private.pem`."""
    parser = argparse.ArgumentParser(
        prog="python -m serving sign",
        description="Verifies an adapter's files, then signs them (OpenSSF model signing).",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="run directory")
    parser.add_argument("--key", type=Path, required=True, help="private key, PEM, elliptic curve")
    arguments = parser.parse_args(argv)
    print(sign_adapter(RunDirectory(arguments.run), arguments.key))
    return OK


def sign_adapter(run: RunDirectory, private_key: Path) -> Path:
    """Signs every file of a verified adapter and returns the signature's path.

    Raises:
        UserError: the adapter is damaged, or the key cannot be used.
    """
    from model_signing import signing

    read_adapter(run.adapter)
    try:
        config = signing.Config().use_elliptic_key_signer(private_key=private_key)
        config.sign(run.adapter, signature_path(run))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"the key cannot sign: {error}", where=private_key, fix=_KEY_FIX) from None
    return signature_path(run)


def require_signature(run: RunDirectory, public_key: Path) -> None:
    """Refuses an adapter that the key's owner has not signed as it is.

    Raises:
        UserError: no signature, another key's, or one over other bytes.
    """
    from model_signing import verifying

    signature = signature_path(run)
    if not public_key.is_file():
        raise UserError("the public key is missing", where=public_key, fix=_KEY_FIX)
    if not signature.is_file():
        raise UserError(
            "the adapter is not signed", where=signature, fix=f"python -m serving sign {run.root} --key PRIVATE.pem"
        )
    try:
        verifying.Config().use_elliptic_key_verifier(public_key=public_key).verify(run.adapter, signature)
    except Exception as error:  # the library raises many kinds; none of them may let an adapter through
        raise UserError(
            f"the signature does not hold: {error}", where=signature, fix="ask the key's owner to sign this adapter"
        ) from None


_KEY_FIX = "openssl ecparam -name prime256v1 -genkey -noout -out private.pem makes a private key"
