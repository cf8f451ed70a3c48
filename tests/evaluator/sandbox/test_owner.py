"""Whose a container is: this process's, or an orphan of one that is gone."""

import os
import subprocess
import sys

from evaluator.sandbox.owner import LABEL, _is_orphan, remove_orphans, this_process


def label_of_a_process_that_is_gone() -> str:
    program = "from evaluator.sandbox.owner import this_process; print(this_process())"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


def test_a_running_evaluator_s_containers_are_no_orphans():
    assert str(os.getpid()) in this_process()
    assert not _is_orphan(this_process())


def test_a_process_that_is_gone_leaves_orphans():
    assert _is_orphan(label_of_a_process_that_is_gone())


def test_another_process_of_the_same_number_is_not_the_owner():
    world, number, start = this_process().rsplit(" ", 2)
    assert _is_orphan(f"{world} {number} {int(start) - 1}")


def test_containers_of_another_machine_are_left_alone():
    assert not _is_orphan(f"elsewhere/1 {os.getpid()} 1")


class Engine:
    """Two containers: ours, and an orphan."""

    def __init__(self) -> None:
        self.containers = self
        self.there = {name: Container(self, name, label) for name, label in
                      (("ours", this_process()), ("orphan", label_of_a_process_that_is_gone()))}  # fmt: skip

    def list(self, **_):
        return list(self.there.values())


class Container:
    def __init__(self, engine, name, label) -> None:
        self.engine, self.name, self.labels = engine, name, {LABEL: label}

    def remove(self, force):
        del self.engine.there[self.name]


def test_only_orphans_are_removed():
    engine = Engine()
    remove_orphans(engine)
    assert list(engine.there) == ["ours"]
