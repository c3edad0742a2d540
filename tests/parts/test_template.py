"""Chat templates give what transformers gives, and cannot run away, whatever they say."""

import time

import pytest

from tests.peaks import peak
from tests.tiny_models import CHAT
from tunesmith.errors import ModelError
from tunesmith.parts import template

MESSAGES = [
    {"role": "system", "content": "Be <brief>."},
    {"role": "user", "content": "hi & bye\n  two"},
    {"role": "assistant", "content": "yo"},
]
NAMES = {"bos_token": "<s>", "eos_token": "</s>"}
USUAL = {
    "chatml": CHAT,
    "llama-2": "{% if messages[0]['role'] == 'system' %}{% set said = messages[0]['content'] %}{% set messages = messages[1:] %}"
    "{% else %}{% set said = false %}{% endif %}{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if loop.index0 == 0 and said != false %}{% set content = '<<SYS>>\\n' + said + '\\n<</SYS>>\\n\\n' + message['content'] %}"
    "{% else %}{% set content = message['content'] %}{% endif %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' ~ content | trim ~ ' ' ~ eos_token }}{% endif %}{% endfor %}",
    "namespaces and macros": "{%- macro line(message) -%}{{ '<' ~ message.role ~ '>' }}{{ message.content | trim }}{%- endmacro -%}\n"
    "{%- set ns = namespace(count=0) -%}\n{% for message in messages %}\n  {%- set ns.count = ns.count + 1 %}\n"
    "{{ line(message) }} {{ ns.count }} {{ loop.length }} {{ loop.last }}\n{% endfor %}{{ messages | tojson }}",
    "generation": "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}"
    "{% else %}{{ m.content.split(' ')[-1] | upper }}{% endif %}{% endfor %}{% if add_generation_prompt %}>{% endif %}",
}
HOSTILE = {
    "loops in loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "repeated text": "{{ 'a' * 10000000000 }}",
    "doubled text": "{% set n = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "added text": "{% set n = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "wide format": "{{ '%01000000000d' % 3 }}",
    "wide format method": "{{ '{:1000000000}'.format(1) }}",
    "centred": "{{ 'a' | center(1000000000) }}",
    "replaced": "{{ ('a' * 900000).replace('a', 'b' * 900000) }}",
    "replaced by a filter": "{{ ('a' * 900000) | replace('a', 'b' * 900000) }}",
    "endless macro": "{% macro f(n) %}{{ f(n - 1) }}{{ f(n - 1) }}{% endmacro %}{{ f(900) }}",
    "kept output": "{% set x = 'a' * 900000 %}{% set y %}{% for i in range(100000) %}{{ x }}{% endfor %}{% endset %}",
    "power": "{{ (2 ** 100000) ** 1000 }}",
    "huge": "{{ 'a' }}" * 50_000,
    "broken": "{% for x in",
}


@pytest.mark.parametrize("prompt", [False, True])
@pytest.mark.parametrize("name", USUAL)
def test_usual_templates_render_as_transformers_renders_them(name, prompt):
    from transformers.utils.chat_template_utils import render_jinja_template

    (expected,), _ = render_jinja_template([MESSAGES], chat_template=USUAL[name], add_generation_prompt=prompt, **NAMES)
    assert template.render(USUAL[name], MESSAGES, prompt=prompt, names=NAMES) == expected


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_templates_are_refused_before_they_take_time_or_memory(name):
    template.render("{{ 1 }}", MESSAGES, prompt=False, names=NAMES)  # what is imported takes memory, too
    with peak() as taken:
        start = time.process_time()
        with pytest.raises(ModelError) as caught:
            template.render(HOSTILE[name], MESSAGES, prompt=False, names=NAMES)
        assert time.process_time() - start < 5
    assert caught.value.code == "bad-template" and taken.bytes < 100 << 20


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__ }}", "{{ messages.append(3) }}", "{% include '/etc/passwd' %}", "{{ cycler.__init__ }}",
        "{{ self.__init__.__globals__ }}", "{{ raise_exception.__globals__ }}", "{{ messages[0].update({'role': 'x'}) }}",
    ],
)  # fmt: skip
def test_nothing_outside_is_reached_or_changed(text):
    try:
        assert template.render(text, MESSAGES, prompt=False, names=NAMES) == ""  # an undefined value
    except template.Refused:
        pass
    assert MESSAGES[0]["role"] == "system" and len(MESSAGES) == 3


def test_a_template_may_refuse_in_its_own_words():
    with pytest.raises(template.Refused, match="roles must alternate"):
        template.render(USUAL["llama-2"], [MESSAGES[2], MESSAGES[1]], prompt=False, names=NAMES)


def test_the_day_is_always_the_same():
    assert template.render("{{ strftime_now('%d %b %Y') }}", [], prompt=False, names={}) == "01 Jan 2025"
