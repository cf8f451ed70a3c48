"""Makes small base models: Llamas of one and of three million parameters that have read the corpus, saved in bf16.

Legend of shapes: B documents, T tokens, V vocabulary.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import Progress
from torch.nn.functional import cross_entropy
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from studies.synthetic.corpus import FIRST_LESSONS, INSTRUCTIONS, MIXTURE, Document, Mixture, draw
from studies.synthetic.deepen import deepen
from studies.synthetic.initial import give_head_start
from studies.synthetic.tasks import QUICKSTART_TASKS, make_records
from studies.synthetic.tokenizer import CHAT_TEMPLATE, train_tokenizer
from studies.synthetic.varied_quizzes import EXERCISES
from studies.synthetic.word_vectors import embed_by_cooccurrence
from studies.synthetic.world import World, make_world

VOCABULARY = 2048
CONTEXT = 512
TOKENIZER_DOCUMENTS = 20_000

POOL = 2048  # documents
WARMUP_STEPS = 150
# A quiz's answer is a few tokens in fifty, and the only ones that teach the skill; its question is mostly unpredictable.
ANSWER_WEIGHT, QUESTION_WEIGHT, PROSE_WEIGHT = 4.0, 0.1, 0.3
HALFWAY_WEIGHT = 0.5


@dataclass(frozen=True)
class Course:
    """A stretch of pretraining with a warm-up and a decay of its own."""

    steps: int
    tokens_per_step: int
    mixture: Mixture
    learning_rate: float = 1.5e-3
    opening: Mixture = ()
    """What the course opens with, for ``opening_steps``."""
    opening_steps: int = 0


@dataclass(frozen=True)
class Recipe:
    """How a base is made."""

    courses: tuple[Course, ...]
    continues: bool = False
    """Starts from another base instead of from nothing."""
    layers: int = 6
    """That base's, or twice as many (`studies.synthetic.deepen`)."""


# Rereading facts at the full rate, the base would forget those that the exercises do not ask for.
_EXERCISES = Course(600, 2048, EXERCISES, 6e-4)
RECIPES = {
    "quickstart": Recipe(
        (Course(3600, 1024, MIXTURE, opening=FIRST_LESSONS, opening_steps=200), Course(1000, 2048, INSTRUCTIONS))
    ),
    "study_small": Recipe((_EXERCISES,), continues=True),
    "study_deep": Recipe((_EXERCISES,), continues=True, layers=12),
}
"""The studies' bases are the quickstart's after more lessons, as it is and with twice the layers."""

Example = tuple[list[int], list[float]]
"""Token ids of a document, and the weight of each as a prediction target."""
Batch = tuple[torch.Tensor, torch.Tensor]
"""ids_BT and weights_BT."""


def make_base(out: Path, seed: int = 0, recipe: Recipe = RECIPES["quickstart"], start: Path | None = None) -> None:
    """Trains a model on the corpus of this seed, and a tokenizer unless it continues one, and saves both into ``out``.

    ``start`` is the base that the recipe continues, made with the same seed.
    """
    world = make_world(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(1)  # threads sum in another order, which ends in other bits
    if recipe.continues:
        tokenizer = AutoTokenizer.from_pretrained(start)
        model = LlamaForCausalLM.from_pretrained(start, dtype=torch.float32, attn_implementation="eager")
        if recipe.layers > len(model.model.layers):
            model = deepen(model)
    else:
        tokenizer = _make_tokenizer(world, seed)
        model = LlamaForCausalLM(_architecture(tokenizer))
        give_head_start(model)
        embed_by_cooccurrence(model, tokenizer, world, seed)
    for number, course in enumerate(recipe.courses, start=1):
        title = f"Pretraining the base, {number} of {len(recipe.courses)}"
        _pretrain(model, course, _batches(tokenizer, world, seed, course), title)
    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)


def _architecture(tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    """Six thin layers: the echo reads deep ones and injects in shallow ones. Heads of 32 are the smallest that vLLM serves."""
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        initializer_range=0.06,
        attn_implementation="eager",
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _make_tokenizer(world: World, seed: int) -> PreTrainedTokenizerFast:
    """Learned from the corpus, the prompt template and the wording of the tasks, so that a prompt is short in tokens."""
    rng = random.Random(f"tokenizer-{seed}")  # noqa: S311 - nothing secret
    texts = ["".join(p.text + p.answer for p in draw(rng, world)) for _ in range(TOKENIZER_DOCUMENTS)]
    texts += [f" {e.noun} {e.noun}" for e in world.entities] * 20
    for task in QUICKSTART_TASKS:
        texts += [record["instruction"] + " " + record["output"] for record in make_records(world, task, "train")]
    texts += [CHAT_TEMPLATE.replace("'", " ")] * 500
    return train_tokenizer(texts, VOCABULARY, CONTEXT)


def _pretrain(model: LlamaForCausalLM, course: Course, batches: Iterator[Batch], title: str) -> None:
    """AdamW with warm-up and cosine decay over freshly drawn documents."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=course.learning_rate, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, course.steps))
    # Twice as fast on processors with bf16 matrix units, and much slower on those without.
    fast_bf16 = torch.cpu._is_amx_tile_supported()
    model.train()
    with Progress() as progress:
        bar = progress.add_task(title, total=course.steps)
        for step in range(course.steps):
            with torch.autocast("cpu", torch.bfloat16, enabled=fast_bf16):
                loss = _loss(model, *next(batches))
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            progress.advance(bar)
            if step % 50 == 0:
                progress.update(bar, description=f"{title} (loss {loss.item():.2f})")
    model.eval()


def _rate(step: int, steps: int) -> float:
    """The learning rate's factor at a step."""
    if step < WARMUP_STEPS:
        return (step + 1) / WARMUP_STEPS
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))


def _loss(model: LlamaForCausalLM, ids_BT: torch.Tensor, weights_BT: torch.Tensor) -> torch.Tensor:
    """Weighted next-token loss, plus the answers' loss halfway up. Padding is on the right, so causal attention needs no mask.

    Left alone, the model recalls and compares in its last layers, and no layer is left to pick a mark by the comparison.
    Answers demanded halfway keep the upper layers free for it (deep supervision: Lee et al., 2015).
    """
    targets_BT, weights_BT = ids_BT[:, 1:], weights_BT[:, 1:]
    states = model.model(input_ids=ids_BT[:, :-1], use_cache=False, output_hidden_states=True)
    kept, answers = weights_BT > 0, weights_BT == ANSWER_WEIGHT
    losses = cross_entropy(model.lm_head(states.last_hidden_state[kept]), targets_BT[kept], reduction="none")
    loss = (losses * weights_BT[kept]).sum() / weights_BT[kept].sum()
    if answers.any():
        halfway = model.model.norm(states.hidden_states[len(model.model.layers) // 2][answers])
        loss = loss + HALFWAY_WEIGHT * cross_entropy(model.lm_head(halfway), targets_BT[answers])
    return loss


def _batches(tokenizer: PreTrainedTokenizerFast, world: World, seed: int, course: Course) -> Iterator[Batch]:
    """Endless batches of about ``tokens_per_step`` tokens; documents of like length go together, to pad little."""
    rng = random.Random(f"corpus-{seed}")  # noqa: S311 - nothing secret
    drawn = 0
    while True:
        mixture = course.opening if drawn < course.opening_steps else course.mixture
        pool = sorted(
            (_encode(tokenizer, draw(rng, world, mixture)) for _ in range(POOL)), key=lambda example: len(example[0])
        )
        batches: list[list[Example]] = [[]]
        for example in pool:
            if (len(batches[-1]) + 1) * len(example[0]) > course.tokens_per_step:
                batches.append([])
            batches[-1].append(example)
        rng.shuffle(batches)
        drawn += len(batches)
        for batch in batches:
            yield _pad(batch, tokenizer.pad_token_id)


def _encode(tokenizer: PreTrainedTokenizerFast, document: Document) -> Example:
    """BOS, the passages, EOS."""
    ids, weights = [tokenizer.bos_token_id], [0.0]
    for passage in document:
        text_weight = QUESTION_WEIGHT if passage.answer else PROSE_WEIGHT
        for text, weight in ((passage.text, text_weight), (passage.answer, ANSWER_WEIGHT)):
            piece = tokenizer.encode(text, add_special_tokens=False) if text else []
            ids += piece
            weights += [weight] * len(piece)
    return [*ids, tokenizer.eos_token_id], [*weights, 1.0]


def _pad(batch: list[Example], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """ids_BT and weights_BT, padded on the right with weight zero."""
    longest = max(len(ids) for ids, _ in batch)
    ids_BT = torch.tensor([ids + [pad] * (longest - len(ids)) for ids, _ in batch])
    weights_BT = torch.tensor([weights + [0.0] * (longest - len(weights)) for _, weights in batch])
    return ids_BT, weights_BT
