"""Every known base is pinned."""

import re

from trainer.import_base.known_bases import KNOWN_BASES


def test_every_base_is_pinned_to_the_byte() -> None:
    for base in KNOWN_BASES.values():
        assert re.fullmatch(r"[\w-]+==[\w.]+", base.package)
        assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in (base.wheel_sha256, base.member_sha256))
        assert base.member.endswith(".gguf")
