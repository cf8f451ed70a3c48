"""Messages on a stream: whole, in order, whatever they hold and however they are cut on the way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.sandbox.cell.framing import HEADER, LONGEST, MESSAGE, BadFrame, Frames, frame

messages = st.lists(st.tuples(st.binary(min_size=1, max_size=1), st.binary(max_size=40)), max_size=5)


def read(pieces):
    frames, found = Frames(), []
    for piece in pieces:
        frames.feed(piece)
        while message := frames.take():
            found.append(message)
    return found


@given(messages, st.integers(1, 9))
def test_messages_arrive_as_they_were_sent_however_they_are_cut(sent, size):
    stream = b"".join(frame(*message) for message in sent)
    assert read([stream[start : start + size] for start in range(0, len(stream), size)]) == sent


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_but_be_messages_or_be_refused(stream):
    try:
        found = read([stream])
    except BadFrame:
        return
    assert sum(HEADER.size + len(body) for _, body in found) <= len(stream)


def test_what_looks_like_the_end_of_a_message_is_part_of_it():
    assert read([frame(MESSAGE, b".\n" + frame(MESSAGE))]) == [(MESSAGE, b".\n" + frame(MESSAGE))]


def test_a_message_may_have_the_greatest_length_and_one_byte_more_is_refused_at_its_header():
    assert len(read([frame(MESSAGE, bytes(LONGEST))])[0][1]) == LONGEST
    with pytest.raises(BadFrame):
        frame(MESSAGE, bytes(LONGEST + 1))
    with pytest.raises(BadFrame):
        read([HEADER.pack(MESSAGE, LONGEST + 1)])
