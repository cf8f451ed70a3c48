"""python -m serving RUN [RUN2 ...]: verifies, attests and serves adapters through vLLM's own OpenAI server."""

from __future__ import annotations

from schemas.errors import run_command
from serving.command_line import parse_serve_options
from serving.supervise import serve


def main(argv: list[str]) -> int:
    """Parses, loads, calls."""
    if argv[:1] == ["bench"]:
        from serving.bench.command_line import bench

        return bench(argv[1:])
    if argv[:1] == ["sign"]:
        from serving.verify.signature import sign

        return sign(argv[1:])
    if argv[:1] == ["export"]:
        from serving.export.command import main as export

        return export(argv[1:])
    return serve(parse_serve_options(argv))


if __name__ == "__main__":
    run_command(main)
