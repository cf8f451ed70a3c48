"""From CONFIG, the environment and the command line to one validated TrainConfig, before torch is imported.

Later sources win: the YAML file, then `ECHO_LORA_<SECTION>__<KEY>` variables, then `--section.key value` options.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from pydantic_settings import BaseSettings, CliSettingsSource, EnvSettingsSource, SettingsConfigDict, SettingsError

from schemas.document import write_atomically
from schemas.errors import UserError
from schemas.row_text import RowText
from schemas.storage.plain_file import read_bounded
from schemas.storage.yaml_files import read_yaml, to_yaml
from schemas.training.train_config import TrainConfig

_MOST_BYTES = 1 << 20
_HELP = "python -m trainer --help lists every option"


class _Settings(TrainConfig, BaseSettings):
    """Overrides for any field of the training config. Each can also be set as ECHO_LORA_SECTION__KEY in the environment."""

    model_config = SettingsConfigDict(
        env_prefix="ECHO_LORA_", env_nested_delimiter="__", env_parse_none_str="null", case_sensitive=False
    )


class _OptionParser(argparse.ArgumentParser):
    """argparse, except that a typo is a UserError that names the nearest option."""

    def __init__(self, **settings: Any) -> None:
        # Abbreviations would make the meaning of a script depend on which options exist.
        super().__init__(**settings, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        typos = [word for word in message.split() if word.startswith("--")]
        known = [option for action in self._actions for option in action.option_strings]
        typed = typos[0].partition("=")[0] if typos else ""
        near = [] if typed in known else difflib.get_close_matches(typed, known, n=1)
        fix = f"did you mean {near[0]}? {_HELP}" if near else _HELP
        raise UserError(f"the command line is not understood: {message}", where="command line", fix=fix)


def load_config(path: Path, options: Sequence[str] = ()) -> TrainConfig:
    """Reads, merges and validates one training config.

    Args:
        path: a YAML file.
        options: `--section.key value` pairs.

    Raises:
        UserError: the file cannot be read, an option is unknown, or fields are faulty (all of them named at once).
    """
    # Before the words of two sources meet, the file's are today's.
    data = TrainConfig.upgraded(read_yaml(path, "training config", fix="configs/ holds ready ones"))
    for source in (_environment(), _command_line(options)):
        data = merge(data, source)
    return parse_config(data, where=f"{path}, with the environment and the command line")


def parse_config(data: dict[str, Any], *, where: object) -> TrainConfig:
    """Validates a merged config, its name completed by the method.

    Raises:
        UserError: fields are faulty (all of them named at once).
    """
    if isinstance(data.get("name"), str) and isinstance(data.get("method"), str):
        data = {**data, "name": data["name"].replace("{method}", data["method"])}
    return TrainConfig.parse(_with_prompt_text(data, where), where=where)


def _with_prompt_text(data: dict[str, Any], where: object) -> dict[str, Any]:
    """`data.prompt` as a text where it names a file, so that the config says all; a text that is no Jinja stops here."""
    given = data.get("data")
    prompt = given.get("prompt") if isinstance(given, dict) else None
    if not isinstance(prompt, str):
        return data
    file = Path(prompt).expanduser() if prompt.endswith((".jinja", ".j2")) else None
    if file is not None:
        prompt = read_bounded(file, "prompt", limit=_MOST_BYTES, fix="mend data.prompt").decode(errors="replace")
    RowText(prompt, "data.prompt", file or where)
    return {**data, "data": {**data["data"], "prompt": prompt}}


def option_help() -> str:
    """The section of `--help` that lists every override with its meaning and default."""
    parser = _OptionParser(prog="python -m trainer", usage=argparse.SUPPRESS, add_help=False)
    _options_source([], parser)
    return parser.format_help().strip()


def write_config(config: TrainConfig, path: Path) -> None:
    """Writes the resolved config as YAML that `load_config` reads back to an equal config."""
    write_atomically(path, to_yaml(config.model_dump(mode="json")).encode())


def _environment() -> dict[str, Any]:
    try:
        return dict(EnvSettingsSource(_Settings)())
    except SettingsError as error:
        raise UserError(
            f"an ECHO_LORA_ variable cannot be read: {error}",
            where="environment",
            fix="lists and mappings are JSON there",
        ) from None


def _command_line(options: Sequence[str]) -> dict[str, Any]:
    parser = _OptionParser(prog="python -m trainer", add_help=False)
    try:
        return dict(_options_source(list(options), parser)())
    except SettingsError as error:
        raise UserError(f"the command line is not understood: {error}", where="command line", fix=_HELP) from None


def _options_source(options: list[str], parser: argparse.ArgumentParser) -> CliSettingsSource[Any]:
    source: CliSettingsSource[Any] = CliSettingsSource(
        _Settings,
        root_parser=parser,
        cli_parse_none_str="null",
        cli_hide_none_type=True,
        cli_avoid_json=True,
        cli_use_class_docs_for_groups=True,
        parse_args_method=_OptionParser.parse_args,
        formatter_class=argparse.HelpFormatter,
    )
    return source(args=options)


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Deep update: mappings are merged, everything else is replaced."""
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged
