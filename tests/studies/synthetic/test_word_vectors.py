"""Word vectors from the corpus: a name starts out near its own properties."""

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from studies.synthetic import word_vectors
from studies.synthetic.word_vectors import LENGTH, SIZE, embed_by_cooccurrence
from studies.synthetic.world import make_world


def test_a_name_starts_nearer_to_its_own_value_than_to_another(monkeypatch):
    monkeypatch.setattr(word_vectors, "DOCUMENTS", 3000)
    torch.manual_seed(0)
    tokenizer, world = AutoTokenizer.from_pretrained("configs/quickstart/base"), make_world()
    shape = LlamaConfig(vocab_size=len(tokenizer), hidden_size=128, intermediate_size=8, num_hidden_layers=1)
    model = LlamaForCausalLM(shape)
    embed_by_cooccurrence(model, tokenizer, world, seed=0)
    vectors_VK = model.model.embed_tokens.weight[:, 1 : SIZE + 1].detach()
    animals = [entity for entity in world.entities if entity.kind == "animal"]
    homes = sorted({entity.facts["home"] for entity in animals})

    def vector(word):
        (token, *_) = tokenizer.encode(f" {word}", add_special_tokens=False)
        return vectors_VK[token]

    nearest = [max(homes, key=lambda home: float(vector(animal.name) @ vector(home))) for animal in animals]
    right = sum(home == animal.facts["home"] for home, animal in zip(nearest, animals, strict=True))
    assert right > 2 * len(animals) / len(homes)
    assert torch.isclose(vector(homes[0]).norm(), torch.tensor(LENGTH), atol=1e-3)
