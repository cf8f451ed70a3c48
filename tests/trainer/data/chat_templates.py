"""Chat templates in the manner of five families, each with what sets it apart; the words are ours."""

from __future__ import annotations

# Llama 3.x: a system turn always, with today's date; trimmed contents; tools in it, calls as JSON, results from `ipython`.
LLAMA3 = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{% set system = messages[0].content | trim %}"
    "{% set turns = messages[1:] %}{% else %}{% set system = '' %}{% set turns = messages %}{% endif %}"
    "<|start|>system<|end|>\n\n{% if tools %}Environment: ipython\n{% endif %}Today: {{ strftime_now('%d %b %Y') }}\n\n"
    "{% for t in tools or [] %}{{ t | tojson(indent=4) }}\n\n{% endfor %}{{ system }}<|eot|>"
    "{% for m in turns %}{% if m.tool_calls %}{% if m.tool_calls | length != 1 %}{{ raise_exception('one call a turn') }}{% endif %}"
    "<|start|>assistant<|end|>\n\n{% set f = m.tool_calls[0].function %}"
    '{"name": "{{ f.name }}", "parameters": {{ f.arguments | tojson }}}<|eot|>'
    "{% elif m.role == 'tool' %}<|start|>ipython<|end|>\n\n{{ m.content | tojson }}<|eot|>"
    "{% else %}<|start|>{{ m.role }}<|end|>\n\n{{ m.content | trim }}<|eot|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant<|end|>\n\n{% endif %}"
)
# Qwen3: ChatML; thoughts of turns before the last question are cut off; calls in tags, results inside a user's turn.
QWEN3 = (
    "{% if tools %}<|im_start|>system\n{% if messages[0].role == 'system' %}{{ messages[0].content }}\n\n{% endif %}# Tools\n"
    "{% for t in tools %}{{ t | tojson }}\n{% endfor %}<|im_end|>\n{% elif messages[0].role == 'system' %}"
    "<|im_start|>system\n{{ messages[0].content }}<|im_end|>\n{% endif %}"
    "{% set ns = namespace(last=-1) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
    "{% for m in messages %}{% if m.role == 'user' %}<|im_start|>user\n{{ m.content }}<|im_end|>\n"
    "{% elif m.role == 'assistant' %}<|im_start|>assistant\n{% set said = m.content.split('</think>')[-1].lstrip('\n') %}"
    "{% if loop.index0 > ns.last %}{% if '</think>' in m.content %}{{ m.content.split('</think>')[0] + '</think>\n\n' }}"
    "{% elif loop.last %}<think>\n\n</think>\n\n{% endif %}{% endif %}{{ said }}"
    "{% for c in m.tool_calls or [] %}{{ '\n' if said or not loop.first else '' }}<tool_call>\n"
    '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}\n</tool_call>{% endfor %}<|im_end|>\n'
    "{% elif m.role == 'tool' %}<|im_start|>user\n<tool_response>\n{{ m.content }}\n</tool_response><|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Mistral: no marker begins an answer, the end of sequence ends it; tools before the last question, calls and results in brackets.
MISTRAL = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{% set system = messages[0].content + '\n\n' %}{% set turns = messages[1:] %}"
    "{% else %}{% set system = '' %}{% set turns = messages %}{% endif %}"
    "{% if tools %}[AVAILABLE_TOOLS]{{ tools | tojson }}[/AVAILABLE_TOOLS]{% endif %}"
    "{% for m in turns %}{% if m.role == 'user' %}[INST] {{ system if loop.first else '' }}{{ m.content }}[/INST]"
    "{% elif m.role == 'tool' %}[TOOL_RESULTS]{{ m.content }}[/TOOL_RESULTS]"
    "{% elif m.tool_calls %}[TOOL_CALLS]{% for c in m.tool_calls %}{{ c.function | tojson }}{% endfor %}{{ eos_token }}"
    "{% else %} {{ m.content | trim }}{{ eos_token }}{% endif %}{% endfor %}"
)
# SmolLM2: ChatML with a system turn of its own where the chat has none.
SMOLLM2 = (
    "{% for m in messages %}{% if loop.first and m.role != 'system' %}<|im_start|>system\nYou are a helpful AI assistant.<|im_end|>\n"
    "{% endif %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEMPLATES = {"Llama 3": LLAMA3, "Qwen3": QWEN3, "Mistral": MISTRAL, "SmolLM2": SMOLLM2, "ChatML": CHATML}
WITH_TOOLS = ("Llama 3", "Qwen3", "Mistral")
