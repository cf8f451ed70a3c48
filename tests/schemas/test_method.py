"""The four methods: what trains, and what ships."""

from typing import get_args

from schemas.method import Method, uses_dora, uses_echo


def test_magnitudes_ship_with_dora_and_an_echo_never_ships():
    assert [method for method in get_args(Method) if uses_dora(method)] == ["dora", "echo_dora"]
    assert [method for method in get_args(Method) if uses_echo(method)] == ["echo_lora", "echo_dora"]
