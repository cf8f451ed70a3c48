"""Word vectors counted from the corpus: words that occur beside the same words get similar embeddings before training starts.

The positive PMI matrix of words within a sentence, and its truncated singular value decomposition (Levy and Goldberg, 2014,
"Neural Word Embedding as Implicit Matrix Factorization"). Beside heads that look at equal tokens (initial.py), a name then
looks at its own properties from the first step.

Legend of shapes: V vocabulary, K vector size.
"""

import random

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from studies.synthetic.corpus import biography, list_of_alike, statements
from studies.synthetic.world import World

SIZE = 64
"""K; the other coordinates of an embedding stay random, so that similar words stay distinct."""
LENGTH = 0.5
"""Norm of each vector, about that of the random part."""
DOCUMENTS = 20_000
RAREST = 3
"""Pairs seen less often say nothing."""


@torch.no_grad()
def embed_by_cooccurrence(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, world: World, seed: int) -> None:
    """Writes the vectors into coordinates 1 to K of the embeddings; coordinate 0 is the head start's constant."""
    left, singular, _ = torch.svd_lowrank(_positive_pmi(_counts(tokenizer, world, seed)), q=SIZE, niter=6)
    vectors_VK = left * singular.sqrt()
    lengths_V1 = vectors_VK.norm(dim=1, keepdim=True)
    known = lengths_V1[:, 0] > 1e-6
    model.model.embed_tokens.weight[known, 1 : SIZE + 1] = (vectors_VK / lengths_V1.clamp(min=1e-6))[known] * LENGTH


def _counts(tokenizer: PreTrainedTokenizerFast, world: World, seed: int) -> torch.Tensor:
    """[V, V]: in how many sentences two tokens stand together."""
    rng = random.Random(f"vec-{seed}")  # noqa: S311 - nothing secret
    counts_VV = torch.zeros(len(tokenizer), len(tokenizer))
    for _ in range(DOCUMENTS):
        document = rng.choice((biography, statements, list_of_alike))(rng, world)
        for sentence in "".join(p.text + p.answer for p in document).split("."):
            ids = torch.tensor(sorted(set(tokenizer.encode(sentence, add_special_tokens=False))))
            if len(ids) > 1:
                counts_VV[ids[:, None], ids[None, :]] += 1
    return counts_VV.fill_diagonal_(0)


def _positive_pmi(counts_VV: torch.Tensor) -> torch.Tensor:
    """[V, V]: how much oftener than by chance two tokens meet, as a logarithm, never below zero."""
    tiny, total, rows_V = 1e-9, counts_VV.sum(), counts_VV.sum(dim=1)
    pmi_VV = torch.log((counts_VV * total + tiny) / (rows_V[:, None] * rows_V[None, :] + tiny)).clamp(min=0)
    pmi_VV[counts_VV < RAREST] = 0
    return pmi_VV
