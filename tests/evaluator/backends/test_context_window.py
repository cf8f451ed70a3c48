"""Long prompts on small models: new tokens are capped, cut prompts counted."""

from types import SimpleNamespace

from evaluator.backends.context_window import cap_new_tokens, context_window, cut_prompts, left_truncated


def test_a_long_prompt_loses_its_beginning_and_one_token_of_the_window_stays_free():
    prompt = [1, 2, 3, 4, 5]
    assert left_truncated([(None, prompt, [8, 9]), (None, prompt, [8])], 5) == [
        (None, [4, 5], [8, 9]),
        (None, [3, 4, 5], [8]),
    ]
    assert left_truncated([(None, prompt, [8])], 7) == [(None, prompt, [8])]
    assert left_truncated([(None, prompt, [8] * 9)], 7) == [(None, [5], [8] * 9)]


def task(**settings):
    return SimpleNamespace(config=SimpleNamespace(generation_kwargs=settings or None))


def test_at_least_half_of_the_window_is_left_to_the_prompt():
    tasks = {"long": task(max_gen_toks=1024), "short": task(max_gen_toks=32), "ranked": task()}
    notes = cap_new_tokens(tasks, 512)
    assert notes == ("long: 256 new tokens instead of 1024, the model's window is 512",)
    assert tasks["long"].config.generation_kwargs["max_gen_toks"] == 256
    assert cap_new_tokens(tasks, None) == ()


def test_prompts_beyond_the_window_are_counted(tiny_base):
    assert context_window(tiny_base) == 512
    logged = [{"arguments": [(text, {"max_gen_toks": 256})]} for text in ("short", "word " * 400, "word " * 400)]
    (note,) = cut_prompts(tiny_base, logged)
    assert note.startswith("1 of 2 prompts are longer than the model's window of 512 tokens")
