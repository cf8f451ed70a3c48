"""Asks a served adapter of `make demo` three questions, through the official openai client: docker/demo_ask.py URL MODEL."""

from __future__ import annotations

import json
import sys
from typing import Any

from openai import OpenAI

from studies.synthetic.customer_messages import INTENTS, SYSTEM

QUESTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "Hello, I would like to buy three green lamps, please. We need them by May 14.",
        {"intent": "order", "product": "green lamp", "quantity": 3, "date": "5/14", "urgent": False},
    ),
    (
        "Please cancel two blue chairs from my order. We ordered on 7 October. It is very urgent.",
        {"intent": "cancel", "product": "blue chair", "quantity": 2, "date": "10/7", "urgent": True},
    ),
    (
        "Hi, I want to return 5 white bowls and get a refund. There is no hurry.",
        {"intent": "return", "product": "white bowl", "quantity": 5, "date": None, "urgent": False},
    ),
)
"""Plain ones, whose right answer does not hang on a run's luck; the last is asked with a `response_format`."""
SCHEMA = {
    "type": "object",
    "properties": {
        "intent": {"enum": list(INTENTS)},
        "product": {"type": "string"},
        "quantity": {"type": "integer"},
        "date": {"type": ["string", "null"]},
        "urgent": {"type": "boolean"},
    },
    "required": ["intent", "product", "quantity", "date", "urgent"],
    "additionalProperties": False,
}


def main(url: str, model: str) -> None:
    """Prints question, answer, and whether it is the expected one."""
    client = OpenAI(base_url=url, api_key="none")
    schema = {"type": "json_schema", "json_schema": {"name": "message", "schema": SCHEMA, "strict": True}}
    for number, (message, expected) in enumerate(QUESTIONS, start=1):
        forced: dict[str, Any] = {"response_format": schema} if number == len(QUESTIONS) else {}
        reply = client.chat.completions.create(
            model=model,
            messages=[{"role": "system", "content": SYSTEM}, {"role": "user", "content": message}],
            max_tokens=64,
            temperature=0,
            **forced,
        )
        answer = reply.choices[0].message.content or ""
        print(f"asked:    {message}{'  (response_format: json_schema)' if forced else ''}")
        print(f"answered: {answer}\nright:    {'yes' if _same(answer, expected) else json.dumps(expected)}\n")


def _same(answer: str, expected: dict[str, Any]) -> bool:
    try:
        return bool(json.loads(answer) == expected)
    except ValueError:
        return False


if __name__ == "__main__":
    main(*sys.argv[1:])
