"""The prose can be believed: what README and docs/ name exists, what they quote is said, and their quick commands run."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stdout, suppress
from functools import cache
from importlib import import_module
from io import StringIO
from pathlib import Path

import pytest

from schemas.training.train_config import TrainConfig
from trainer.config_file import option_help

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    {ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")}
    | {
        page
        for folder in ("docs", "configs", "docker")
        for page in (ROOT / folder).rglob("*.md")
        if "results" not in page.parts
    }
)
GENERATED = {"configuration.md", "documents.md"}
PROSE = [page for page in PAGES if page.name not in GENERATED]
SUBCOMMANDS = {
    "trainer": {"plan", "show", "bench", "import-base", "adopt", "push", "study", "make-base", "make-tasks"},
    "evaluator": {"gate", "compare", "comment", "report", "agree"},
    "serving": {"bench", "sign", "export", "verify"},
    "studies": {"analyse", "prepare", "make-base", "make-tasks", "make-messages"},
    "schemas": {"export", "docs"},
}
PACKAGES = "|".join(SUBCOMMANDS)
# What a test cannot run in seconds, and why.
EXPENSIVE = {
    r"-m trainer (?!(plan|show)\b)": "trains or times for minutes",
    r"-m evaluator (?!(gate|compare|report|comment)\b)": "needs a trained run and a model to score",
    r"-m serving\b": "starts vLLM",
    r"-m studies (?!.*(--plan|--help))": "trains, or makes a base for minutes",
}
# A word of capitals stands for the reader's own.
PLACEHOLDER = re.compile(
    r"\b(RUN\d?|CONFIG|DIR|FILE|ADAPTER|BASE|REPO|NAME|SOURCE|KEYFILE|POLICY|REPORT)\b|<|\.\.\.|my_records|mine\.yaml|chats\.jsonl|runs/"
)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def commands_of(page: Path) -> list[str]:
    """Every line of a code block, fenced or indented, that calls one of our packages; comments cut off."""
    lines = re.findall(rf"^(?:    )?(python -m (?:{PACKAGES})\b.*)$", page.read_text(), re.MULTILINE)
    return [re.split(r"\s{2,}|\s+#", line)[0] for line in lines]


COMMANDS = sorted({command for page in PROSE for command in commands_of(page)})
QUICK = [one for one in COMMANDS if not PLACEHOLDER.search(one) and not any(re.search(slow, one) for slow in EXPENSIVE)]


@cache
def options_of(package: str, subcommand: str) -> frozenset[str]:
    """Every option that the command's own help lists."""
    if package == "trainer" and subcommand in ("", "plan", "show"):
        return frozenset(re.findall(r"--[\w.-]+", option_help())) | {"--overwrite", "--help", "--examples"}
    main = import_module(f"{package}.__main__").main
    with redirect_stdout(StringIO()) as output, suppress(SystemExit):
        main([*([subcommand] if subcommand else []), "--help"])
    shown = output.getvalue()
    if (package, subcommand) == ("studies", ""):  # without a word it tells of its commands
        shown += (ROOT / "studies/run/command.py").read_text()
    return frozenset(re.findall(r"(?<![\w-])--[a-zA-Z][\w.-]*", shown))


def every_option(package: str) -> frozenset[str]:
    return frozenset().union(*(options_of(package, one) for one in ("", *SUBCOMMANDS[package] - {"study", "verify"})))


def test_the_readme_is_a_map_of_at_most_120_lines():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_a_shown_command_exists(command):
    package, *words = shlex.split(command)[2:]
    subcommand = words[0] if words and words[0] in SUBCOMMANDS[package] else ""
    package = "studies" if subcommand in ("study", "make-base", "make-tasks") else package
    given = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert given <= options_of(package, "" if subcommand == "study" else subcommand)


@pytest.mark.parametrize("page", PROSE, ids=name_of)
def test_every_option_named_in_the_prose_exists(page):
    ours = frozenset().union(*map(every_option, ("trainer", "evaluator", "serving", "studies")))
    others = {"--nproc-per-node", "--nnodes", "--node-rank", "--master-addr", "--master-port", "--entrypoint"}
    others |= {
        "--generation-config",
        "--lora",
        "--rm",
        "--no-deps",
        "--profile",
        "--volumes",
        "--force",
        "--quiet",
    }  # vLLM's, llama.cpp's, docker's and torchrun's
    text = re.sub(r"^.*(docker compose|torchrun|openssl|kubectl).*$", "", page.read_text(), flags=re.MULTILINE)
    named = {word.rstrip(".") for word in re.findall(r"(?<![\w-])--[a-zA-Z][\w.-]*", text) if not word.endswith("-")}
    assert named - ours - others - {"--section.key"} == set()


@pytest.mark.parametrize("page", PROSE, ids=name_of)
def test_every_config_key_named_in_the_prose_exists(page):
    known = keys_of(TrainConfig)
    sections = "|".join(key for key in TrainConfig.model_fields if f"{key}." in " ".join(known))
    named = set(re.findall(rf"`((?:{sections})\.(?!py\b)[a-z_.]+)(?:: [^`]*)?`", page.read_text()))
    assert named - known == set()


def keys_of(section: type, prefix: str = "") -> set[str]:
    """The dotted keys of a section and of the sections in it, optional ones too."""
    found = set()
    for key, field in section.model_fields.items():
        found.add(f"{prefix}{key}")
        for kind in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if hasattr(kind, "model_fields"):
                found |= keys_of(kind, f"{prefix}{key}.")
    return found


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_somewhere(page):
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)", page.read_text()):
        found = page.parent / target if target else page
        assert found.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", found.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor[1:] in slugs, f"{target}{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_named_in_a_page_is_here(page):
    roots = "schemas|trainer|evaluator|serving|studies|configs|docker|docs|tests"
    for path in re.findall(rf"(?<![\w/.-])((?:{roots})/[\w./-]*\w/?)(?![\w*{{<])", page.read_text()):
        if path != "configs/x.yaml":
            assert (ROOT / path).exists(), path


def test_every_file_that_the_readme_s_map_names_is_in_its_folder():
    table = (ROOT / "README.md").read_text().partition("## The map")[2].partition("\n## ")[0]
    for where, tells in re.findall(r"^\| (`.+?) \| (.+) \|$", table, re.MULTILINE):
        folders = re.findall(r"`([\w/]+)/`", where)
        parent = Path(folders[0]).parent
        places = [
            ROOT / folders[0],
            *(ROOT / parent / one for one in folders[1:]),
            *(ROOT / one for one in folders[1:]),
        ]
        for file in re.findall(r"`([\w/.]+\.(?:py|sh))`", tells):
            assert any((place / file).is_file() for place in places), f"{where}: {file}"


@pytest.mark.parametrize("command", QUICK)
def test_a_quick_command_runs(command, tmp_path):
    words = shlex.split(command)[1:]
    ended = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr


def test_troubleshooting_quotes_what_the_code_says():
    said = [
        message
        for path in ROOT.rglob("*.py")
        if path.parts[len(ROOT.parts)] in SUBCOMMANDS
        for message in texts_of(path)
    ]
    rows = re.findall(r"^\| `(.+?)` \|", (ROOT / "docs/troubleshooting.md").read_text(), re.MULTILINE)
    assert len(rows) > 40
    unsaid = [row for row in rows if not any(all(part in text for part in row.split("…")) for text in said)]
    assert unsaid == []


def texts_of(path: Path) -> list[str]:
    """Every text of a file, with the values that f-strings put in left out."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            found.append("…".join(part.value for part in node.values if isinstance(part, ast.Constant)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
    return found


def test_no_code_cites_a_document_that_is_not_here():
    """`method.md` means docs/method.md; issues, designs and other people's folders mean nothing to a reader of this tree."""
    written = {"summary.md", "verdict.md", "notes.md"}  # by commands, or by a test
    cited = re.compile(r"\b[\w./-]+\.md\b|\bissue \d+|\bdesign/|\bshared/design")
    guilty = []
    for path in (one for package in (*SUBCOMMANDS, "tests", "docker") for one in (ROOT / package).rglob("*")):
        if path.suffix not in (".py", ".yaml", ".sh") and path.name != "Dockerfile":
            continue
        for word in cited.findall(path.read_text()):
            here = [ROOT / word, path.parent / word, ROOT / "docs" / word, ROOT / "configs/bench/results" / word]
            if Path(word).name not in written and not any(one.is_file() for one in here):
                guilty.append(f"{path.relative_to(ROOT)}: {word}")
    assert guilty == []
