"""The invented world: the same for the same seed, its values dealt evenly."""

from collections import Counter

import pytest

from studies.synthetic.world import RELATIONS, World, make_world


@pytest.fixture(scope="module")
def world() -> World:
    return make_world()


def test_another_seed_makes_another_world(world: World) -> None:
    assert make_world(0) == world
    assert make_world(1) != world


def test_values_are_dealt_evenly(world: World) -> None:
    for relation in RELATIONS:
        counts = Counter(e.facts[relation.name] for e in world.entities if e.kind == relation.kind)
        assert set(counts) == set(relation.values)
        assert len(set(counts.values())) == 1
