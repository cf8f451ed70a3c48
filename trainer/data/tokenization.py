"""From records and chats to token ids with the supervised span computed on those very ids (docs/method.md, traps 5, 6).

The boundary must be the one that generation starts from, and must not depend on the answer. So a text is tokenised
as a whole only where every cut between prompt and answer falls between two tokens and leaves the tokens before it
as they are without the rest; else its pieces are tokenised apart, which is what an evaluator does with the prompt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate, chain
from typing import Literal

from rich.progress import track
from transformers import PreTrainedTokenizerBase

from schemas.errors import UserError
from schemas.training.train_config import DataConfig
from trainer.data.segments import Piece, chat_pieces, record_pieces
from trainer.data.sources import LoadedSource

Drop = Literal["prompt_empty", "prompt_too_long", "answer_empty", "answer_cut", "nothing_learned"]
_CHUNK = 4096  # texts per call of the tokenizer


@dataclass(frozen=True)
class Example:
    """One training sample."""

    input_ids: tuple[int, ...]
    """Prompt, answer and end-of-sequence; in a chat, later turns too."""
    completion_mask: tuple[bool, ...]
    """For each token, whether it belongs to an answer."""
    boundary: int
    """Index of the last prompt token before the first answer."""

    def __len__(self) -> int:
        return len(self.input_ids)

    def supervised_tokens(self, loss_on: Literal["answers", "all"]) -> int:
        """Tokens under the loss; the first token has nothing to be predicted from."""
        return sum(self.completion_mask) if loss_on == "answers" else len(self) - 1


@dataclass
class Examples:
    """What a config's data came to."""

    kept: list[Example] = field(default_factory=list)
    """The samples to train on, in the sources' order."""
    dropped: Counter[Drop] = field(default_factory=Counter)
    """How many records were left out, by reason."""


def make_examples(
    sources: Iterable[LoadedSource],
    tokenizer: PreTrainedTokenizerBase,
    data: DataConfig,
    *,
    window: int | None = None,
    quiet: bool = False,
) -> Examples:
    """Tokenises every row; what does not fit whole is dropped and counted, never cut.

    Args:
        sources: the rows.
        tokenizer: of the base.
        data: says how rows become text, and how long an example may be.
        window: tokens that the base itself can take; None where its config does not say.
        quiet: no progress bar.

    Raises:
        UserError: a row lacks its answer or is malformed (the message names it), or no row is left.
    """
    examples = Examples()
    rows = [pieces for source in sources for pieces in _pieces(source, tokenizer, data)]
    texts = [pieces for row in rows for pieces in row]
    examples.dropped["nothing_learned"] += sum(not row for row in rows)
    answered = [pieces for pieces in texts if all(piece.text.strip() for piece in pieces if piece.is_answer)]
    examples.dropped["answer_empty"] += len(texts) - len(answered)
    # A server that is asked for a text's log-probabilities generates one token more, for which there must be room.
    longest = min(data.max_length, window - 1) if window else data.max_length
    chat = data.format == "messages"
    tokenised = _tokenise(answered, tokenizer, special_tokens=not chat)
    for example in track(tokenised, "Tokenising", total=len(answered), disable=quiet, transient=True):
        reason = _misfit(example, longest)
        if reason:
            examples.dropped[reason] += 1
        else:
            examples.kept.append(example)
    examples.dropped = +examples.dropped
    if not examples.kept:
        raise _nothing_left(examples, len(rows), data, longest)
    return examples


def _nothing_left(examples: Examples, rows: int, data: DataConfig, longest: int) -> UserError:
    counts = ", ".join(f"{reason}: {count}" for reason, count in examples.dropped.items())
    advice = {
        "prompt_empty": "give the rows an instruction: this tokenizer begins no text with a token of its own",
        "nothing_learned": "no answer is marked as to be learned (weight, train)",
        "prompt_too_long": f"raise data.max_length (now {data.max_length})",
    }
    advice["answer_cut"] = advice["prompt_too_long"]
    if longest < data.max_length:
        advice["prompt_too_long"] = advice["answer_cut"] = f"shorten them: the base's window is {longest + 1} tokens"
    most = max(examples.dropped, key=lambda reason: examples.dropped[reason], default="answer_empty")
    return UserError(
        f"no training example is left of {rows} rows ({counts})",
        where="data",
        fix=advice.get(most, "check the data"),
    )


def _pieces(source: LoadedSource, tokenizer: PreTrainedTokenizerBase, data: DataConfig) -> Iterator[list[list[Piece]]]:
    """Of each row, the texts that it becomes: one, or of a chat perhaps several or none."""
    for number, row in enumerate(source.rows, start=1):
        where = f"data.train: {source.path}, row {number}"
        if data.format == "messages":
            yield chat_pieces(row, tokenizer, where)
        else:
            yield [record_pieces(row, data, where)]


def _misfit(example: Example, max_length: int) -> Drop | None:
    """Why an example cannot be trained on whole."""
    if example.boundary < 0:
        return "prompt_empty"
    if example.boundary + 2 > max_length:
        return "prompt_too_long"
    return "answer_cut" if len(example) > max_length else None


def _tokenise(
    texts: list[list[Piece]], tokenizer: PreTrainedTokenizerBase, *, special_tokens: bool
) -> Iterator[Example]:
    """Tokenises in chunks, each text whole and up to each of its cuts."""
    for start in range(0, len(texts), _CHUNK):
        chunk = texts[start : start + _CHUNK]
        prefixes = [list(accumulate(piece.text for piece in pieces)) for pieces in chunk]
        encoded = iter(_encode(tokenizer, [text for row in prefixes for text in row], special_tokens=special_tokens))
        ends = [[next(encoded) for _ in pieces] for pieces in chunk]
        apart = [not all(row[-1][: len(end)] == end for end in row) for row in ends]
        # Answers repeat, and short ones most of all.
        rest = {piece.text: 0 for pieces, cut in zip(chunk, apart, strict=True) if cut for piece in pieces[1:]}
        alone = dict(zip(rest, _encode(tokenizer, list(rest), special_tokens=False), strict=True))
        for pieces, row, cut in zip(chunk, ends, apart, strict=True):
            if cut:
                parts = [row[0], *(alone[piece.text] for piece in pieces[1:])]
            else:
                parts = [row[-1][len(before) : len(end)] for before, end in zip([[], *row], row, strict=False)]
            yield _example(pieces, parts, tokenizer.eos_token_id)


def _encode(tokenizer: PreTrainedTokenizerBase, texts: list[str], *, special_tokens: bool) -> list[list[int]]:
    """Token ids without the end-of-sequence that some tokenizers add: it would stand between prompt and answer."""
    eos, end = tokenizer.eos_token, tokenizer.eos_token_id
    return [
        row[:-1] if row and row[-1] == end and not text.endswith(eos) else row
        for row, text in zip(_token_ids(tokenizer, texts, special_tokens=special_tokens), texts, strict=True)
    ]


def _token_ids(tokenizer: PreTrainedTokenizerBase, texts: list[str], *, special_tokens: bool) -> list[list[int]]:
    """Of many texts at once, on all cores; a fast tokenizer is spared the offsets, which are a quarter of its time."""
    if not tokenizer.is_fast or not texts:
        given: list[list[int]] = (
            tokenizer(texts, add_special_tokens=special_tokens, verbose=False)["input_ids"] if texts else []
        )
        return given
    tokenizer(texts[:1], verbose=False)  # switches off the truncation and padding that its files may ask for
    encoded = tokenizer.backend_tokenizer.encode_batch_fast(texts, add_special_tokens=special_tokens)
    return [one.ids for one in encoded]


def _example(pieces: list[Piece], parts: list[list[int]], eos: int) -> Example:
    """Joins the tokenised pieces; the last answer ends with end-of-sequence, once, whatever stands inside it."""
    if not pieces[-1].closed and parts[-1][-1:] != [eos]:
        parts = [*parts[:-1], [*parts[-1], eos]]
    ids = tuple(chain.from_iterable(parts))
    masks = ((piece.is_answer,) * len(part) for piece, part in zip(pieces, parts, strict=True))
    completion_mask = tuple(chain.from_iterable(masks))
    return Example(ids, completion_mask, boundary=completion_mask.index(True) - 1)
