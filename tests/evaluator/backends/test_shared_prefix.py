"""Prompts that begin alike are found, and cut where sharing pays."""

from evaluator.backends.shared_prefix import Group, Row, groups_of, rows_of

SHOTS, OTHER_SHOTS = list(range(100, 160)), list(range(200, 260))


def test_choices_of_a_prompt_are_one_row():
    requests = [((), [1, 2], [5]), ((), [3], [5, 6]), ((), [1, 2], [7, 8])]
    assert rows_of(requests) == [Row([1, 2], [[5], [7, 8]], [0, 2]), Row([3], [[5, 6]], [1])]


def test_each_subject_shares_its_shots_and_no_more():
    rows = [Row([*shots, *question]) for shots in (SHOTS, OTHER_SHOTS) for question in ([1, 2], [3], [4, 5, 6])]
    assert [group.shared for group in groups_of(rows)] == [SHOTS, OTHER_SHOTS]
    assert sorted(len(group.rows) for group in groups_of(rows)) == [3, 3]


def test_a_lone_prompt_before_a_subject_takes_nothing_from_it():
    alone = Row([*SHOTS[:20], 1, 1])
    together = [Row([*SHOTS, number]) for number in range(2, 8)]
    assert [(len(group.shared), len(group.rows)) for group in groups_of([*together, alone])] == [(60, 6), (0, 1)]


def test_every_prompt_keeps_a_token_of_its_own():
    groups = groups_of([Row(SHOTS, [[1]], [0]), Row([*SHOTS, 7], [[1]], [1])])
    assert [group.shared for group in groups] == [SHOTS[:-1]]


def test_short_beginnings_are_not_worth_a_pass():
    rows = [Row([1, 2, number]) for number in range(5)]
    assert groups_of(rows) == [Group([], rows)]


def test_batches_hold_rows_of_like_width_within_the_budget():
    rows = [Row([0] * width, [[1]], [width]) for width in (3, 9, 1, 8, 2)]
    widths = [[row.width(0) for row in batch] for batch in Group([], rows).batches(16)]
    assert widths == [[9], [8, 3], [2, 1]]
