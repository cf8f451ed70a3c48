"""Supervisor and gateway mean the same files."""

from serving.gateway.state_directory import StateDirectory


def test_every_path_lies_in_the_directory_and_no_two_are_the_same(tmp_path):
    state = StateDirectory(tmp_path)
    paths = [state.settings, state.readiness, state.attestations, state.attestation_request]
    assert {path.parent for path in paths} == {tmp_path}
    assert len(set(paths)) == 4
