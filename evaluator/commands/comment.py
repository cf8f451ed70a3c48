"""python -m evaluator comment RUN: puts the run's verdict on the pull or merge request that CI runs for, one comment for all pushes.

Where to, and with which right, is read from the variables that GitHub Actions and GitLab CI set.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from evaluator.gate.markdown import to_markdown
from schemas.errors import OK, UserError
from schemas.evaluation.verdict import Verdict
from schemas.run_directory import RunDirectory

_SECONDS = 30.0
_MOST_LETTERS = 60_000
"""GitHub takes 65,536."""


@dataclass(frozen=True)
class Place:
    """Where comments are listed, made and changed."""

    comments: str
    """Address of the request's comments."""
    one: str
    """Address of one comment, `{id}` in its place."""
    headers: Mapping[str, str]
    """With the right to write."""
    changed_by: str
    """HTTP method of a change."""


def main(argv: list[str]) -> int:
    """Parses, reads the verdict, and writes or changes the comment."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluator comment",
        description="Puts a run's verdict on the pull request (GITHUB_TOKEN, GITHUB_REPOSITORY, PULL_REQUEST) or merge request "
        "(GATE_TOKEN, CI_PROJECT_ID, CI_MERGE_REQUEST_IID) that CI runs for; a later push changes the same comment.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="run directory with a verdict")
    run = RunDirectory(parser.parse_args(argv).run)
    verdict = Verdict.read(run.verdict)
    print(comment(verdict, place_of(os.environ)))
    return OK


def place_of(environment: Mapping[str, str]) -> Place:
    """The request that CI runs for.

    Raises:
        UserError: this is neither a GitHub Actions nor a GitLab CI job of a request, or its token is not given.
    """
    try:
        if "GITHUB_ACTIONS" in environment:
            root = f"{environment.get('GITHUB_API_URL', 'https://api.github.com')}/repos/{environment['GITHUB_REPOSITORY']}/issues"
            headers = {
                "Authorization": f"Bearer {environment['GITHUB_TOKEN']}",
                "Accept": "application/vnd.github+json",
            }
            return Place(f"{root}/{environment['PULL_REQUEST']}/comments", f"{root}/comments/{{id}}", headers, "PATCH")
        project = f"{environment['CI_API_V4_URL']}/projects/{environment['CI_PROJECT_ID']}"
        notes = f"{project}/merge_requests/{environment['CI_MERGE_REQUEST_IID']}/notes"
        return Place(notes, f"{notes}/{{id}}", {"PRIVATE-TOKEN": environment["GATE_TOKEN"]}, "PUT")
    except KeyError as error:
        raise UserError(
            f"there is no request to comment on: {error.args[0]} is not set",
            where="environment",
            fix="this command is for CI; the same text lies beside the verdict, in verdict.md",
        ) from None


def comment(verdict: Verdict, place: Place) -> str:
    """Changes the adapter's comment where there is one, else makes it; returns what was done.

    Raises:
        UserError: the API does not answer, or refuses.
    """
    mark = f"<!-- echo-lora gate: {verdict.adapter.name} -->"
    body = {"body": f"{mark}\n{to_markdown(verdict)}"[:_MOST_LETTERS]}
    before = next((one for one in _all(place) if str(one.get("body", "")).startswith(mark)), None)
    if before is None:
        _send(place, "POST", place.comments, body)
        return "commented"
    _send(place, place.changed_by, place.one.format(id=before["id"]), body)
    return "changed the comment"


def _all(place: Place) -> list[dict[str, Any]]:
    """Every comment, page by page."""
    found: list[dict[str, Any]] = []
    for page in range(1, 100):
        more = _send(place, "GET", f"{place.comments}?per_page=100&page={page}")
        found += more
        if len(more) < 100:
            break
    return found


def _send(place: Place, method: str, address: str, body: Mapping[str, str] | None = None) -> Any:
    headers = {**place.headers, "User-Agent": "echo-lora"}
    try:
        answer = httpx.request(method, address, json=body, headers=headers, timeout=_SECONDS)
        return answer.raise_for_status().json()
    except httpx.HTTPStatusError as error:
        raise UserError(
            f"the API answers {error.response.status_code} to {method}",
            where=address,
            fix="give the token the right to write comments (GitHub: permissions: pull-requests: write; GitLab: scope api)",
        ) from None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise UserError(f"the API cannot be asked: {error}", where=address) from None
