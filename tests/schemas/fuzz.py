"""Mutates whole inputs of every parser of untrusted bytes for a while, and prints what came of it as JSON.

    python tests/schemas/fuzz.py --seconds 600              600 seconds for each parser
    python tests/schemas/fuzz.py --seconds 60 --only verdict

Exit code 1 where a parser raised anything but a UserError, or took longer than --slow seconds for one input.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from untrusted import PARSERS, Parser, mutated  # noqa: E402

from schemas.errors import UserError  # noqa: E402


def fuzz(parser: Parser, seconds: float, seed: int) -> dict[str, object]:
    """Counts of accepted and refused inputs, the slowest, and every kind of crash with an input that shows it."""
    draw = random.Random(seed)
    accepted = refused = 0
    slowest = 0.0
    crashes: dict[str, str] = {}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        raw = mutated(draw.choice(parser.seeds), draw)
        began = time.process_time()
        try:
            parser.read(raw)
            accepted += 1
        except UserError:
            refused += 1
        except Exception as error:
            crashes.setdefault(f"{type(error).__name__}: {str(error)[:120]}", repr(raw[:4000]))
        slowest = max(slowest, time.process_time() - began)
    return {"accepted": accepted, "refused": refused, "crashes": crashes, "slowest_seconds": round(slowest, 3)}


def main() -> int:
    """Runs the parsers one after another."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=600, help="for each parser")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--slow", type=float, default=2.0, help="processor seconds that one input may take")
    options.add_argument("--only", choices=sorted(PARSERS), action="append")
    chosen = options.parse_args()
    counts = {name: fuzz(PARSERS[name], chosen.seconds, chosen.seed) for name in chosen.only or PARSERS}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"seconds_each": chosen.seconds, "peak_megabytes": peak, "parsers": counts}, indent=2))
    return int(any(one["crashes"] or float(str(one["slowest_seconds"])) > chosen.slow for one in counts.values()))


if __name__ == "__main__":
    sys.exit(main())
