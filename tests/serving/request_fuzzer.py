"""Requests from a JSON schema, most of them valid in most fields, some broken in one or two; for the fuzz test."""

import json
import random

TEXTS = ("", "x", "is it even?", "\x00", "\ud83d\ude00", "ÿ" * 50, "{{ 7 * 7 }}", "</s>", "a" * 3000, "%s%n")
# Options that change how vLLM computes; half of the requests combine some of them.
SEARCH = (
    *("use_beam_search", "n", "best_of", "echo", "logprobs", "prompt_logprobs", "top_logprobs", "logit_bias"),
    *("allowed_token_ids", "structured_outputs", "response_format", "stream", "truncate_prompt_tokens", "stop"),
    *("add_special_tokens", "min_tokens", "max_completion_tokens", "return_token_ids", "stop_token_ids", "bad_words"),
)
NUMBERS = (0, 1, -1, 2, 3, 7, 64, 10**6, 2**31, -(2**63), 2**64, 1e308, -1e308, 0.5, 1e-9)


class RequestFuzzer:
    """Draws request bodies; the same seed draws the same bodies."""

    def __init__(self, schema, models, seed):
        self.schema, self.models = schema, models
        self.draw = random.Random(seed)

    def body(self):
        """One request's bytes."""
        properties, required = self.schema["properties"], self.schema.get("required", [])
        chosen = set(required) | {"model", "prompt", "max_tokens"} & set(properties)
        chosen |= set(self.draw.sample(sorted(properties), self.draw.randrange(5)))
        chosen |= set(self.draw.sample(SEARCH, self.draw.choice((0, 0, 2, 4)))) & set(properties)
        request = {name: self._field(name, properties[name]) for name in chosen}
        request["model"] = self.draw.choice(self.models)
        if (
            self.draw.random() < 0.7 or request["max_tokens"] is None
        ):  # without a limit it writes till the context is full
            request["max_tokens"] = self.draw.randint(1, 4)
        if "messages" in request and self.draw.random() < 0.7:
            request["messages"] = [{"role": "user", "content": self.draw.choice(TEXTS)}]
        if "prompt" in request and self.draw.random() < 0.6:
            request["prompt"] = self.draw.choice(TEXTS)
        if self.draw.random() < 0.1:
            request[self.draw.choice(sorted(request))] = self._anything()
        text = json.dumps(request)
        return self._damage(text) if self.draw.random() < 0.05 else text.encode()

    def _field(self, name, schema):
        if self.draw.random() < 0.08:
            return self._anything()
        return self._value(schema, depth=0)

    def _value(self, schema, depth):
        if "$ref" in schema:
            return self._value(self.schema["$defs"][schema["$ref"].rsplit("/", 1)[-1]], depth)
        for union in ("anyOf", "oneOf", "allOf"):
            if union in schema:
                return self._value(self.draw.choice(schema[union]), depth)
        if "enum" in schema:
            return self.draw.choice(schema["enum"])
        if "const" in schema:
            return schema["const"]
        return self._of_type(schema, depth)

    def _of_type(self, schema, depth):
        match schema.get("type"):
            case "string":
                return self.draw.choice(TEXTS)
            case "integer":
                return self.draw.choice([int(n) for n in NUMBERS if float(n).is_integer() and abs(n) < 1e30])
            case "number":
                return self.draw.choice(NUMBERS)
            case "boolean":
                return self.draw.random() < 0.5
            case "null":
                return None
            case "array" if depth < 4:
                return [self._value(schema.get("items", {}), depth + 1) for _ in range(self.draw.randrange(4))]
            case "object" if depth < 4:
                properties = schema.get("properties", {})
                chosen = set(schema.get("required", [])) | {name for name in properties if self.draw.random() < 0.3}
                return {name: self._value(properties[name], depth + 1) for name in sorted(chosen & set(properties))}
        return self._anything()

    def _anything(self):
        return self.draw.choice(
            [None, True, [], {}, [[]], [None], {"a": {"b": [1]}}, self.draw.choice(TEXTS), self.draw.choice(NUMBERS)]
        )

    def _damage(self, text):
        data = bytearray(text.encode())
        where = self.draw.randrange(len(data))
        match self.draw.randrange(4):
            case 0:
                return bytes(data[:where])
            case 1:
                data[where] = self.draw.randrange(256)
                return bytes(data)
            case 2:
                return b"[" * 5000 + bytes(data)
            case _:
                return bytes(data).replace(b":", b': NaN, "z":', 1)
