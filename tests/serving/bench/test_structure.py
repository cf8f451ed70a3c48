"""What makes two adapters the same work for a server."""

from schemas.adapter_reader import read_adapter
from serving.bench.structure import compare_structure


def test_an_echo_adapter_has_the_structure_of_a_plain_one(twins):
    echo, plain = (read_adapter(twins[name].adapter) for name in ("echo", "plain"))
    assert all(check.same for check in compare_structure(echo, plain, (list(echo.tensors), list(plain.tensors))))


def test_another_rank_is_another_structure(twins):
    echo, wide = (read_adapter(twins[name].adapter) for name in ("echo", "wide"))
    checks = compare_structure(echo, wide, (list(echo.tensors), list(wide.tensors)))
    assert [check.what for check in checks if not check.same] == [
        *("tensor shapes and dtypes", "rank", "configuration", "bytes of weights")
    ]
