"""More forms of chat templates: markers behind what they mark, calls in other languages, numbered rounds."""

from tests.pipelines.stages.tokenise.zoo import (
    CALLS_JSON,
    CHATML,
    LISTED,
    PROMPT,
    ROLES,
    STRIPPED,
    THINKING,
    Family,
    by_role,
    marked,
)

XML_CALLS = (
    "{% for c in m.tool_calls or [] %}<tool_call>\n<function={{ c.function.name }}>\n{% for k, v in "
    "c.function.arguments | items %}<parameter={{ k }}>\n{{ v }}\n</parameter>\n{% endfor %}</function>\n"
    "</tool_call>{% endfor %}"
)
BRACED = (
    "{% for c in m.tool_calls or [] %}<start_call>call:{{ c.function.name }}{ {%- for k, v in "
    "c.function.arguments | dictsort %}{{ k }}:<escape>{{ v }}<escape>{% if not loop.last %},{% endif %}"
    "{% endfor -%} }<end_call>{% endfor %}"
)
OTHERS = {
    "qwen3_coder": Family(
        marked("<|im_start|>{{ m.role }}\n", "<|im_end|>\n", head=LISTED, behind=XML_CALLS),
        CHATML,
        "<|im_end|>",
        plain=("<tool_call>", "</tool_call>"),
    ),
    "lfm2": Family(
        "<s>"
        + marked(
            "<|im_start|>{{ m.role }}\n",
            "<|im_end|>\n",
            head="{% if tools %}<|im_start|>system\nList of tools: <|list|>{{ tools | tojson "
            "}}<|/list|><|im_end|>"
            "\n{% endif %}",
        ),
        (*CHATML, "<|list|>", "<|/list|>"),
        "<|im_end|>",
    ),
    "braced_calls": Family(
        marked(
            "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n",
            "<end_of_turn>\n",
            behind=BRACED,
        ),
        ("<start_of_turn>", "<end_of_turn>", "<start_call>", "<end_call>", "<escape>"),
        "<end_of_turn>",
    ),
    "command_a": Family(
        by_role(
            "<|turn|><|user|>X<|over|>",
            "<|turn|><|bot|>{% if m.tool_calls %}<|act|>[{% for c in m.tool_calls %}{{ {'tool_call_id': "
            "loop.index0 | string, 'tool_name': c.function.name, 'parameters': "
            "c.function.arguments} | tojson }}"
            "{% endfor %}]<|/act|>{% else %}<|say|>X<|/say|>{% endif %}<|over|>",
            prompt="<|turn|><|bot|>",
        ),
        ("<|turn|>", "<|user|>", "<|bot|>", "<|over|>", "<|act|>", "<|/act|>", "<|say|>", "<|/say|>"),
        "<|over|>",
    ),
    "hunyuan": Family(
        by_role("X<|extra_0|>", "X<|eos|>", system="<|start|>X<|extra_4|>"),
        ("<|start|>", "<|extra_0|>", "<|extra_4|>", "<|eos|>"),
        "<|eos|>",
    ),
    "baichuan": Family(
        by_role("<reserved_106>X", "<reserved_107>X", prompt="<reserved_107>", system="X"),
        ("<reserved_106>", "<reserved_107>"),
        "<reserved_106>",
        "</s>",
    ),
    "ernie": Family(
        "<|begin|>" + by_role("User: X\n", "Assistant: X<|finish|>", prompt="Assistant: ", system="X\n"),
        ("<|begin|>", "<|finish|>"),
        "<|finish|>",
    ),
    "reka": Family(
        by_role("human: X <sep> ", "assistant: X <sep> ", prompt="assistant:"),
        (),
        "<sep>",
        plain=("<sep>",),
    ),
    "deepseek_v31": Family(
        "<s>"
        + by_role(
            "<|User|>X",
            "{% if loop.index0 and messages[loop.index0 - 1].role == 'user' "
            "%}<|Assistant|></think>{% endif %}X"
            "{% if m.tool_calls %}<|calls|>{% for c in m.tool_calls %}<|call|>{{ c.function.name }}<|sep|>"
            "{{ c.function.arguments if c.function.arguments is string else c.function.arguments | tojson }}"
            "<|/call|>{% endfor %}<|/calls|>{% endif %}<|eos|>",
            tool="<|out|>X<|/out|>",
            prompt="<|Assistant|></think>",
        ),
        (
            *("<|User|>", "<|Assistant|>", "<|eos|>", "<|calls|>", "<|/calls|>", "<|call|>", "<|/call|>"),
            *("<|sep|>", "<|out|>", "<|/out|>"),
        ),
        "<|eos|>",
    ),
    "solar": Family(
        by_role(
            "### User:\nX\n\n",
            "### Assistant:\nX\n\n",
            prompt="### Assistant:\n",
            system="### System:\nX\n\n",
        ),
        (),
        "",
        "</s>",
    ),
    "minimax_m2": Family(
        THINKING
        + ROLES
        + "{% if m.role == 'assistant' %}]~b]ai\n"
        + STRIPPED
        + "{% if mused and loop.index0 > ns.last %}<think>\n{{ mused }}\n</think>\n\n{% endif %}{{ text }}"
        + CALLS_JSON
        + "[e~[\n{% else %}]~b]{{ m.role }}\n{{ m.content }}[e~[\n{% endif %}"
        + PROMPT
        + "]~b]ai\n<think>\n{% endif %}",
        ("]~b]", "[e~["),
        "[e~[",
    ),
    "phi4": Family(
        marked("<|im_start|>{{ m.role }}<|im_sep|>", "<|im_end|>"), (*CHATML, "<|im_sep|>"), "<|im_end|>"
    ),
    "default_system": Family(
        "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are of help.<|im_end|>\n{% endif %}"
        + marked("<|im_start|>{{ m.role }}\n", "<|im_end|>\n"),
        CHATML,
        "<|im_end|>",
    ),
    "rounds": Family(
        "{% set ns = namespace(n=0) %}"
        + ROLES
        + "{% if m.role == 'assistant' %}Answer: {{ m.content or '' }}</s>\n{% elif m.role == 'user' %}"
        "{% set ns.n = ns.n + 1 %}[Round {{ ns.n }}]\n\nQuestion: {{ m.content }}\n\n{% else %}{{ "
        "m.content }}\n"
        "{% endif %}" + PROMPT + "Answer:{% endif %}",
        (),
        "</s>",
    ),
    "ends_before_the_next": Family(
        ROLES
        + "{% if m.role == 'user' %}{% if loop.index0 > 1 %}</s>{% endif %}<s>[INST] {{ m.content }} [/INST]"
        "{% elif m.role == 'assistant' %} {{ m.content or '' }}{% else %}{{ m.content }}\n{% "
        "endif %}{% endfor %}",
        (),
        "</s>",
    ),
    "tekken": Family(
        "{% set last = namespace(n=0) %}{% for m in messages %}{% if m.role == 'user' %}{% set "
        "last.n = loop.index0 %}"
        "{% endif %}{% endfor %}<s>"
        + ROLES
        + "{% if m.role == 'user' %}{% if tools and loop.index0 == last.n %}[TOOLS]{{ tools | "
        "tojson }}[/TOOLS]"
        "{% endif %}[INST]{{ m.content }}[/INST]{% elif m.role == 'system' %}[SYS]{{ m.content "
        "}}[/SYS]{% elif "
        "m.role == 'tool' %}[RESULT]{{ m.tool_call_id }}[CONTENT]{{ m.content }}[/RESULT]{% elif "
        "m.tool_calls %}"
        "{% for c in m.tool_calls %}[CALLS]{{ c.function.name }}[ID]{{ c.id }}[ARGS]{{ "
        "c.function.arguments if "
        "c.function.arguments is string else c.function.arguments | tojson }}{% endfor %}</s>{% else %}"
        "{{ m.content }}</s>{% endif %}{% endfor %}",
        (
            *("[TOOLS]", "[/TOOLS]", "[INST]", "[/INST]", "[SYS]", "[/SYS]", "[RESULT]", "[CONTENT]"),
            *("[/RESULT]", "[CALLS]", "[ID]", "[ARGS]"),
        ),
        "</s>",
    ),
    "closed_by_the_prompt": Family(
        ROLES + "<|{{ m.role }}|>\n{{ m.content or '' }}{% if not loop.last or m.role != 'assistant' "
        "%}<|end|>\n{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}",
        ("<|user|>", "<|system|>", "<|assistant|>", "<|tool|>", "<|end|>"),
        "<|end|>",
        "</s>",
    ),
}
