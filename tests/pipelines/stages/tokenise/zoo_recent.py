"""Forms of chat templates of 2025 and later: results in groups, calls as markup, answers in tags of "
"their own.

Written for these tests; each after what a family of models does with turns, reasoning and calls.
"""

from tests.pipelines.stages.tokenise.zoo import CHATML, STRIPPED, THINKING, Family

# Whether reasoning is seen: behind the last user's turn alone.
MUSED = (
    "{% set text = m.content or '' %}{% set mused = m.reasoning_content or '' %}"
    "{% if not mused and '</think>' in text %}"
    "{% set mused = text.split('</think>')[0].split('<think>')[-1] %}"
    "{% set text = text.split('</think>')[-1] %}{% endif %}{% set text = text.strip() %}"
    "{% set mused = mused.strip() %}"
)
JSON_LINES = "{% if tools %}HEAD{% for t in tools %}{{ t | tojson }}\n{% endfor %}TAIL{% endif %}"


def listed(head: str, tail: str = "") -> str:
    return JSON_LINES.replace("HEAD", head).replace("TAIL", tail)


# Calls as keys and values, results in one group behind one marker: a group's marker stops what was called.
KEYED = (
    THINKING
    + "[gMASK]<sop>"
    + listed("<|system|>\nYou may call\n")
    + "{% for m in messages %}{% if m.role == 'user' %}<|user|>\n{{ m.content }}"
    "{% elif m.role == 'system' %}<|system|>\n{{ m.content }}"
    "{% elif m.role == 'tool' %}{% if loop.previtem.role != 'tool' %}<|observation|>{% endif %}"
    "\n<tool_response>\n{{ m.content }}\n</tool_response>"
    "{% else %}<|assistant|>" + MUSED + "{% if mused and loop.index0 > ns.last %}\n<think>{{ mused }}</think>"
    "{% else %}\n<think></think>{% endif %}{% if text %}\n{{ text }}{% endif %}"
    "{% for c in m.tool_calls or [] %}\n<tool_call>{{ c.function.name }}"
    "{% for k, v in c.function.arguments.items() %}\n<arg_key>{{ k }}</arg_key>\n<arg_value>"
    "{{ v if v is string else v | tojson }}</arg_value>{% endfor %}\n</tool_call>{% endfor %}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
# Results in a user's turn, several in one; the last question is one that no result stands in.
RESULTS_OF_USERS = (
    "{% set ns = namespace(last=0, found=false) %}{% for m in messages[::-1] %}"
    "{% if not ns.found and m.role == 'user' and not (m.content.startswith('<tool_response>') and "
    "m.content.endswith('</tool_response>')) %}{% set ns.found = true %}"
    "{% set ns.last = messages | length - 1 - loop.index0 %}{% endif %}{% endfor %}"
    + listed("<|im_start|>system\n# Tools\n", "<|im_end|>\n")
    + "{% for m in messages %}{% if m.role == 'tool' %}"
    "{% if loop.first or messages[loop.index0 - 1].role != 'tool' %}<|im_start|>user{% endif %}"
    "\n<tool_response>\n{{ m.content }}\n</tool_response>"
    "{% if loop.last or messages[loop.index0 + 1].role != 'tool' %}<|im_end|>\n{% endif %}"
    "{% elif m.role == 'assistant' %}<|im_start|>assistant\n"
    + MUSED
    + "{% if loop.index0 > ns.last %}<think>\n{{ mused }}\n</think>\n\n{% endif %}{{ text }}"
    "{% for c in m.tool_calls or [] %}{% if not loop.first or text %}\n{% endif %}<tool_call>\n"
    "<function={{ c.function.name }}>\n{% for k, v in c.function.arguments | items %}<parameter={{ k }}>\n"
    "{{ v | string if v is string else v | tojson }}\n</parameter>\n{% endfor %}</function>\n</tool_call>"
    "{% endfor %}<|im_end|>\n{% else %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)
# Calls and results as one JSON list each; a turn ends on a line of its own.
LISTS = (
    THINKING + "<S10>System\n{% if messages[0].role == 'system' %}{{ messages[0].content }}\n{% endif %}"
    "{% if tools %}<AVAILABLE>{{ tools | tojson }}</AVAILABLE>\n{% endif %}\n"
    "{% for m in messages %}{% if m.role == 'user' %}<S11>User\n{{ m.content.strip() }}\n"
    "{% elif m.role == 'tool' %}{% if loop.previtem.role != 'tool' %}<S11>User\n<RESULTS>[{% else %}, "
    "{% endif %}"
    "{{ m.content }}{% if loop.last or loop.nextitem.role != 'tool' %}]</RESULTS>\n{% endif %}"
    "{% elif m.role == 'assistant' %}<S11>Assistant\n" + STRIPPED + "{% if loop.index0 > ns.last and mused %}"
    "<think>\n{{ mused.strip() }}\n</think>\n\n{% else %}<think></think>{% endif %}{{ text.strip() }}"
    "{% if m.tool_calls %}<CALLS>[{% for c in m.tool_calls %}{{ {'name': c.function.name, 'arguments': "
    "c.function.arguments} | tojson }}{% if not loop.last %}, {% endif %}{% endfor %}]</CALLS>{% endif %}"
    "\n<S12>\n{% endif %}{% endfor %}{% if add_generation_prompt %}<S11>Assistant\n<think>\n{% endif %}"
)
# A switch in the system's text, which is taken out of it and decides how answers begin.
SWITCHED = (
    "{% set ns = namespace(system='', mode='/think', rest=messages) %}{% if messages[0].role == 'system' %}"
    "{% set ns.rest = messages[1:] %}{% set ns.system = messages[0].content %}"
    "{% if '/no_think' in ns.system %}{% set ns.mode = '/no_think' %}"
    "{% set ns.system = ns.system.replace('/no_think', '').rstrip() %}{% endif %}{% endif %}"
    "<|im_start|>system\nMode: {{ ns.mode }}\n\n{{ ns.system }}\n"
    + listed("\n### Tools\n")
    + "<|im_end|>\n{% for m in ns.rest %}{% if m.role == 'user' %}<|im_start|>user\n"
    "{{ m.content }}<|im_end|>\n"
    "{% elif m.role == 'assistant' %}<|im_start|>assistant\n{% if ns.mode == '/think' %}"
    "{{ (m.content or '').lstrip('\n') }}{% else %}<think>\n\n</think>\n{{ (m.content or '').lstrip('\n') }}"
    "{% endif %}<|im_end|>\n{% elif m.role == 'tool' %}<|im_start|>user\n{{ m.content }}<|im_end|>\n"
    "{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if ns.mode == '/no_think' %}<think>\n\n</think>\n{% endif %}{% endif %}"
)
# Answers between tags of their own, reasoning before them.
ANSWERED = (
    THINKING
    + "{% for m in messages %}{% if m.role == 'assistant' %}"
    + MUSED
    + "<|bot|>{% if mused and loop.index0 > ns.last %}<think>\n{{ mused }}\n</think>\n{% endif %}"
    "<answer>\n{{ text }}\n</answer><|eos|>{% elif m.role == 'user' %}<|user|>{{ m.content }}"
    "{% else %}{{ m.content }}<|extra|>{% endif %}{% endfor %}{% if add_generation_prompt %}<|bot|>"
    "{% endif %}"
)
# Results stand in the assistant's turn, which goes on behind them without a header.
INLINE = (
    "<s>{% set ns = namespace(open=false) %}<|dev|>Deliberation: off\n{% if tools %}{% for t in tools %}"
    "type {{ t.function.name }} = // {{ t.function.description }}\n{% endfor %}{% endif %}<|/dev|>"
    "{% for m in messages %}{% if m.role == 'user' %}{% if ns.open %}<|/bot|>{% set ns.open = false %}"
    "{% endif %}"
    "<|user|>{{ m.content }}<|/user|>{% elif m.role == 'system' %}<|sys|>{{ m.content }}<|/sys|>"
    "{% elif m.role == 'assistant' %}{% if not ns.open %}<|bot|>{% set ns.open = true %}{% endif %}"
    "{{ m.content or '' }}{% if m.tool_calls %}<|calls|>[{% for c in m.tool_calls %}"
    '{"{{ c.function.name }}": {{ c.function.arguments if c.function.arguments is string else '
    "c.function.arguments | tojson }}}{% if not loop.last %}, {% endif %}{% endfor %}]<|/calls|>{% endif %}"
    "{% elif m.role == 'tool' %}{% if loop.previtem.role != 'tool' %}[{% else %}, {% endif %}{{ m.content }}"
    "{% if loop.last or loop.nextitem.role != 'tool' %}]{% endif %}{% endif %}{% endfor %}"
    "{% if ns.open and not add_generation_prompt %}<|/bot|>{% endif %}"
    "{% if add_generation_prompt and not ns.open %}<|bot|>{% endif %}"
)
# Calls as code, results of an environment, the end of all instead of that of a turn at the end.
CODED = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are of help.{% if tools %} <functions>"
    "{{ tools | tojson }}</functions>{% endif %}<|im_end|>\n{% endif %}"
    "{% for m in messages %}{% if m.role == 'assistant' %}<|im_start|>assistant\n{{ m.content or '' }}"
    "{% if m.tool_calls %}<function_calls>{% for c in m.tool_calls %}{% if not loop.first %}\n{% endif %}"
    "{{ c.function.name }}({% for k, v in c.function.arguments | items %}{{ k }}={{ v | tojson }}"
    "{% if not loop.last %}, {% endif %}{% endfor %}){% endfor %}</function_calls>{% endif %}"
    "{% if loop.last %}<|eos|>{% else %}<|im_end|>\n{% endif %}{% else %}"
    "<|im_start|>{{ 'environment' if m.role == 'tool' else m.role }}\n{{ m.content }}"
    "{% if m.role == 'system' and tools %} <functions>{{ tools | tojson }}</functions>{% endif %}<|im_end|>\n"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# A plan before calls, calls numbered over the whole conversation, results by these numbers.
NUMBERED = (
    "<s>{% set ns = namespace(n=0, r=0) %}{% if tools %}<|turn|><|sys|>{{ tools | tojson }}<|over|>"
    "{% endif %}"
    "{% for m in messages %}{% if m.role == 'assistant' %}<|turn|><|bot|>{% if m.tool_calls %}"
    "{% if m.content %}<|plan|>{{ m.content }}<|/plan|>{% endif %}<|act|>[{% for c in m.tool_calls %}"
    '{"id": "{{ ns.n }}", "name": {{ c.function.name | tojson }}, "parameters": '
    "{{ c.function.arguments | tojson }}}{% if not loop.last %}, {% endif %}{% set ns.n = ns.n + 1 %}"
    "{% endfor %}]<|/act|>{% else %}<|say|>{{ m.content }}<|/say|>{% endif %}<|over|>"
    "{% elif m.role == 'tool' %}{% if loop.previtem.role != 'tool' %}<|turn|><|sys|><|result|>["
    "{% else %},{% endif %}"
    '{"id": "{{ ns.r }}", "results": {{ m.content | tojson }}}{% set ns.r = ns.r + 1 %}'
    "{% if loop.last or loop.nextitem.role != 'tool' %}]<|/result|><|over|>{% endif %}"
    "{% else %}<|turn|><|{{ 'user' if m.role == 'user' else 'sys' }}|>{{ m.content }}<|over|>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|turn|><|bot|>{% endif %}"
)
# Reasoning between special tokens, in a field of its own; names of functions found again for results.
BRACKETS = (
    "<s>{% for m in messages %}{% if m.role == 'system' %}[SYS]{{ m.content }}[/SYS]"
    "{% elif m.role == 'user' %}"
    "{% if tools and loop.last %}[TOOLS]{{ tools | tojson }}[/TOOLS]{% endif %}[INST]{{ m.content }}[/INST]"
    "{% elif m.role == 'tool' %}[RESULT]{{ m.content }}[/RESULT]{% else %}"
    "{% if m.reasoning_content %}[THINK]{{ m.reasoning_content }}[/THINK]{% endif %}{{ m.content or '' }}"
    "{% for c in m.tool_calls or [] %}[CALL]{{ c.function.name }}[ARGS]{{ c.function.arguments if "
    "c.function.arguments is string else c.function.arguments | tojson }}{% endfor %}</s>{% endif %}"
    "{% endfor %}"
)
# A declaration of functions, calls whose response follows in the model's own turn.
DECLARED = (
    "<s>{% set ns = namespace(before='') %}{% if tools or messages[0].role == 'system' %}<turn>developer\n"
    "{% if messages[0].role == 'system' %}{{ messages[0].content | trim }}{% endif %}"
    "{% for t in tools or [] %}"
    "<declare>{{ t.function.name }}: {{ t.function.description }}</declare>{% endfor %}</turn>\n{% endif %}"
    "{% for m in messages if m.role != 'system' %}{% if m.role == 'tool' %}<response>{{ m.name }}: "
    "<escape>{{ m.content }}<escape></response>{% set ns.before = 'tool' %}{% else %}"
    "{% if m.role == 'user' %}{% if ns.before == 'tool' %}</turn>\n{% endif %}<turn>user\n"
    "{{ m.content | trim }}"
    "</turn>\n{% else %}{% if ns.before != 'tool' %}<turn>model\n{% endif %}{{ (m.content or '') | trim }}"
    "{% for c in m.tool_calls or [] %}<call>{{ c.function.name }}{ {%- for k, v in c.function.arguments | "
    "dictsort %}{{ k }}:<escape>{{ v }}<escape>{% endfor %}}</call>{% endfor %}"
    "{% if not m.tool_calls %}</turn>\n{% endif %}{% endif %}{% set ns.before = m.role %}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt and ns.before != 'tool' %}<turn>model\n{% endif %}"
)
# An empty block in every answer that has no reasoning, also of earlier turns.
ALWAYS_BLOCKED = (
    THINKING
    + listed("[|system|]\n# Tools\n", "[|endofturn|]\n")
    + "{% for m in messages %}{% if m.role == 'assistant' %}[|assistant|]\n"
    + MUSED
    + "<think>\n{{ mused if loop.index0 > ns.last }}\n</think>\n\n{{ text }}"
    "{% for c in m.tool_calls or [] %}{% if text or not loop.first %}\n{% endif %}<tool_call>{{ {'name': "
    "c.function.name, 'arguments': c.function.arguments} | tojson }}</tool_call>{% endfor %}[|endofturn|]\n"
    "{% elif m.role == 'tool' %}{% if loop.previtem.role != 'tool' %}[|tool|]\n{% endif %}<tool_result>"
    "{{ m.content }}</tool_result>{% if loop.last or loop.nextitem.role != 'tool' %}[|endofturn|]\n"
    "{% endif %}"
    "{% else %}[|{{ m.role }}|]\n{{ m.content }}[|endofturn|]\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}[|assistant|]\n{% if enable_thinking %}<think>\n"
    "{% else %}<think>\n\n</think>\n\n"
    "{% endif %}{% endif %}"
)
# Another token for each speaker, opening and closing.
PAIRED = (
    "{% for m in messages %}{% if m.role == 'user' %}<|userprompt|>{{ m.content }}<|endofuserprompt|>"
    "{% elif m.role == 'system' %}<|system|>{{ m.content }}<|endofsystem|>{% else %}<|response|>"
    "{{ m.content or '' }}<|endofresponse|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|response|>{% endif %}"
)
# Turns between tokens that name no role, calls in markup with a kind.
STEPS = (
    THINKING
    + "<s>"
    + listed("<|BOT|>system\n# Tools\n", "<|EOT|>")
    + "{% for m in messages %}{% if m.role == 'tool' %}"
    "{% if loop.previtem.role != 'tool' %}<|BOT|>tool_response\n"
    "{% endif %}<tool_response>{{ m.content }}</tool_response>"
    "{% if loop.last or loop.nextitem.role != 'tool' %}"
    "<|EOT|>{% endif %}{% elif m.role == 'assistant' %}<|BOT|>assistant\n"
    + STRIPPED
    + "{% if mused and loop.index0 > ns.last %}<think>\n{{ mused }}\n</think>\n{% endif %}{{ text }}"
    "{% if m.tool_calls %}<|calls|>{% for c in m.tool_calls %}<|call|>function<|sep|>"
    '<invoke name="{{ c.function.name }}">'
    '{% for k, v in c.function.arguments | items %}<parameter name="{{ k }}">'
    "{{ v if v is string else v | tojson }}</parameter>{% endfor %}</invoke><|/call|>{% endfor %}<|/calls|>"
    "{% endif %}<|EOT|>{% else %}<|BOT|>{{ 'human' if m.role == 'user' else m.role }}\n{{ m.content }}<|EOT|>"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|BOT|>assistant\n<think>\n{% endif %}"
)
# Roles in tags that nobody flagged.
ROLE_TAGS = (
    "{% for m in messages %}<role>{{ {'user': 'HUMAN', 'assistant': 'ASSISTANT', 'system': "
    "'SYSTEM'}.get(m.role, "
    "'OBSERVATION') }}</role>{{ m.content or '' }}{% for c in m.tool_calls or [] %}\n<tool_call>\n"
    '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}\n</tool_call>'
    "{% endfor %}<|role_end|>{% endfor %}{% if add_generation_prompt %}<role>ASSISTANT</role>{% endif %}"
)
# One call a turn, which ends with another token; the tools stand in the first question.
ONE_CALL = (
    "<s>{% set rest = messages %}{% if messages[0].role == 'system' %}<|start|>system<|header|>\n\n"
    "{{ messages[0].content | trim }}<|eot|>{% set rest = messages[1:] %}{% endif %}"
    "{% for m in rest %}{% if m.role == 'user' %}<|start|>user<|header|>\n\n{% if tools and loop.first %}"
    "Call one of these: {{ tools | tojson }}\n{% endif %}{{ m.content | trim }}<|eot|>"
    "{% elif m.tool_calls %}{% if m.tool_calls | length != 1 %}"
    "{{ raise_exception('one call at a time') }}{% endif %}"
    '<|start|>assistant<|header|>\n\n{"name": "{{ m.tool_calls[0].function.name }}", "parameters": '
    "{{ m.tool_calls[0].function.arguments | tojson }}}<|eom|>"
    "{% elif m.role == 'tool' %}<|start|>ipython<|header|>\n\n{{ m.content | tojson }}<|eot|>"
    "{% else %}<|start|>{{ m.role }}<|header|>\n\n{{ m.content | trim }}<|eot|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant<|header|>\n\n{% endif %}"
)
# Calls as tags in tags, results in a turn of their own, the name of the model's role another one.
INVOKED = (
    THINKING + "]~!b[]~b]system\n{% if messages[0].role == 'system' %}{{ messages[0].content }}"
    "{% else %}You help.{% endif %}"
    + listed("\n\n<tools>\n", "</tools>")
    + "[e~[\n{% for m in messages if m.role != 'system' %}{% if m.role == 'assistant' %}]~b]ai\n"
    + MUSED
    + "{% if mused and loop.index0 >= ns.last %}<think>\n{{ mused }}\n</think>\n\n{% endif %}{{ text }}"
    '{% if m.tool_calls %}\n<calls>\n{% for c in m.tool_calls %}<invoke name="{{ c.function.name }}">\n'
    '{% for k, v in c.function.arguments.items() %}<parameter name="{{ k }}">'
    "{{ v | tojson if v is not string "
    "else v }}</parameter>\n{% endfor %}</invoke>\n{% endfor %}</calls>{% endif %}[e~[\n"
    "{% elif m.role == 'tool' %}{% if loop.previtem.role != 'tool' %}]~b]tool{% endif %}\n<response>"
    "{{ m.content }}</response>{% if loop.last or loop.nextitem.role != 'tool' %}[e~[\n{% endif %}"
    "{% else %}]~b]user\n{{ m.content }}[e~[\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}]~b]ai\n<think>\n{% endif %}"
)
# Channels: reasoning in one, calls in another, results as JSON texts that name the last function called.
CHANNELS = (
    "{% set ns = namespace(name='', last=0) %}{% for m in messages %}{% if m.role == 'assistant' and not "
    "m.tool_calls %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
    "<|start|>system<|message|>Valid channels: analysis, commentary, final.<|end|>"
    "{% if tools or messages[0].role == 'system' %}<|start|>developer<|message|>"
    "{% if messages[0].role == 'system' %}# Instructions\n\n{{ messages[0].content }}\n\n{% endif %}"
    "{% for t in tools or [] %}// {{ t.function.description }}\ntype {{ t.function.name }} = () => any;\n"
    "{% endfor %}<|end|>{% endif %}{% for m in messages if m.role != 'system' %}"
    "{% if m.role == 'assistant' %}"
    "{% if m.tool_calls %}{% if m.thinking %}<|start|>assistant<|channel|>analysis<|message|>"
    "{{ m.thinking }}<|end|>"
    "{% elif m.content %}<|start|>assistant<|channel|>analysis<|message|>{{ m.content }}<|end|>{% endif %}"
    "{% set ns.name = m.tool_calls[0].function.name %}<|start|>assistant to=functions.{{ ns.name }}"
    "<|channel|>commentary json<|message|>{{ m.tool_calls[0].function.arguments | tojson }}<|call|>"
    "{% elif loop.last and not add_generation_prompt %}"
    "{% if m.thinking %}<|start|>assistant<|channel|>analysis"
    "<|message|>{{ m.thinking }}<|end|>{% endif %}<|start|>assistant<|channel|>final<|message|>"
    "{{ m.content }}<|return|>"
    "{% else %}<|start|>assistant<|channel|>final<|message|>{{ m.content }}<|end|>{% endif %}"
    "{% elif m.role == 'tool' %}<|start|>functions.{{ ns.name }} to=assistant<|channel|>commentary<|message|>"
    "{{ m.content | tojson }}<|end|>{% else %}<|start|>user<|message|>{{ m.content }}<|end|>{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)
# A mode that the caller chooses; results and calls in blocks, the block's end the turn's.
MODES = (
    "{% set thinking = thinking | default(false) %}"
    "{% set ns = namespace(first=true, tool=false, asked=false) %}<s>"
    "{% for m in messages if m.role == 'system' %}{{ m.content }}{% endfor %}"
    + listed("\n## Tools\n")
    + "{% for m in messages if m.role != 'system' %}{% if m.role == 'user' %}<|User|>{{ m.content }}"
    "{% set ns.asked = true %}{% set ns.tool = false %}{% elif m.role == 'assistant' %}"
    "{% if ns.asked %}<|Assistant|>"
    "{% if loop.last and thinking %}<think>{% else %}</think>{% endif %}{% endif %}{% set ns.asked = false %}"
    "{% set text = m.content or '' %}{% if '</think>' in text %}"
    "{% set text = text.split('</think>', 1)[1] %}{% endif %}"
    "{{ text }}{% if m.tool_calls %}<|calls|>{% for c in m.tool_calls %}<|call|>{{ c.function.name }}<|sep|>"
    "{{ c.function.arguments if c.function.arguments is string else c.function.arguments | tojson }}<|/call|>"
    "{% endfor %}<|/calls|>{% endif %}<|eos|>{% else %}<|out|>{{ m.content }}<|/out|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt and ns.asked %}<|Assistant|>{% if thinking %}<think>{% else %}</think>"
    "{% endif %}{% endif %}"
)
# Plain words for roles behind one token, a token of no text that says how long to think.
BUDGET = (
    "{% for m in messages %}{% if m.role == 'user' %}<|bos|>user\n{{ m.content }}<|eos|>"
    "{% elif m.role == 'assistant' %}<|bos|>assistant\n"
    "{% if m.reasoning_content is defined and m.reasoning_content "
    "is string and m.reasoning_content | trim | length > 0 %}\n<seed:think>"
    "{{ m.reasoning_content | trim }}</seed:think>"
    "{% endif %}{% if m.content and m.content | trim | length > 0 %}\n{{ m.content | trim }}\n{% endif %}"
    "{% for c in m.tool_calls or [] %}\n<seed:call>\n<function={{ c.function.name }}>\n"
    "{% for k, v in c.function.arguments | items %}<parameter={{ k }}>{{ v if v is string else v | tojson }}"
    "</parameter>\n{% endfor %}</function>\n</seed:call>{% endfor %}<|eos|>"
    "{% else %}<|bos|>{{ m.role }}\n{{ m.content }}<|eos|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|bos|>assistant\n"
    "{% if thinking_budget == 0 %}<seed:think><seed:cot></seed:think>"
    "{% endif %}{% endif %}"
)
BOT = ("<|turn|>", "<|user|>", "<|bot|>", "<|sys|>", "<|over|>", "<|act|>", "<|/act|>", "<|say|>", "<|/say|>")
RECENT = {
    "keyed_calls": Family(
        KEYED,
        ("[gMASK]", "<sop>", "<|user|>", "<|assistant|>", "<|observation|>", "<|system|>"),
        "<|user|>",
        "</s>",
        plain=("<tool_call>", "</tool_call>", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"),
        called="<|observation|>",
    ),
    "results_of_users": Family(
        RESULTS_OF_USERS, CHATML, "<|im_end|>", plain=("<tool_call>", "</tool_call>", "<tool_response>")
    ),
    "lists": Family(LISTS, ("<S10>", "<S11>", "<S12>"), "<S12>"),
    "switched": Family(SWITCHED, CHATML, "<|im_end|>"),
    "answered": Family(ANSWERED, ("<|user|>", "<|bot|>", "<|eos|>", "<|extra|>"), "<|eos|>"),
    "inline_results": Family(
        INLINE,
        (
            "<|dev|>",
            "<|/dev|>",
            "<|sys|>",
            "<|/sys|>",
            "<|user|>",
            "<|/user|>",
            "<|bot|>",
            "<|/bot|>",
            "<|calls|>",
            "<|/calls|>",
        ),
        "<|/bot|>",
        called="<|/calls|>",
    ),
    "coded_calls": Family(CODED, (*CHATML, "<|eos|>"), "<|im_end|>", "<|eos|>"),
    "numbered_calls": Family(
        NUMBERED, (*BOT, "<|plan|>", "<|/plan|>", "<|result|>", "<|/result|>"), "<|over|>"
    ),
    "brackets": Family(
        BRACKETS,
        (
            "[SYS]",
            "[/SYS]",
            "[INST]",
            "[/INST]",
            "[TOOLS]",
            "[/TOOLS]",
            "[RESULT]",
            "[/RESULT]",
            "[THINK]",
            "[/THINK]",
            "[CALL]",
            "[ARGS]",
        ),
        "</s>",
    ),
    "declared": Family(
        DECLARED,
        (
            "<turn>",
            "</turn>",
            "<declare>",
            "</declare>",
            "<call>",
            "</call>",
            "<response>",
            "</response>",
            "<escape>",
        ),
        "</turn>",
        called="<response>",
    ),
    "always_blocked": Family(
        ALWAYS_BLOCKED,
        ("[|system|]", "[|user|]", "[|assistant|]", "[|tool|]", "[|endofturn|]"),
        "[|endofturn|]",
        plain=("<tool_call>", "</tool_call>"),
    ),
    "paired": Family(
        PAIRED,
        (
            "<|userprompt|>",
            "<|endofuserprompt|>",
            "<|system|>",
            "<|endofsystem|>",
            "<|response|>",
            "<|endofresponse|>",
        ),
        "<|endofresponse|>",
    ),
    "steps": Family(
        STEPS,
        ("<|BOT|>", "<|EOT|>", "<|calls|>", "<|/calls|>", "<|call|>", "<|/call|>", "<|sep|>"),
        "<|EOT|>",
    ),
    "role_tags": Family(ROLE_TAGS, ("<|role_end|>",), "<|role_end|>", plain=("<role>", "</role>")),
    "one_call": Family(
        ONE_CALL, ("<|start|>", "<|header|>", "<|eot|>", "<|eom|>"), "<|eot|>", called="<|eom|>"
    ),
    "invoked": Family(INVOKED, ("]~!b[", "]~b]", "[e~["), "[e~["),
    "channels": Family(
        CHANNELS,
        ("<|start|>", "<|end|>", "<|channel|>", "<|message|>", "<|return|>", "<|call|>"),
        "<|end|>",
        "<|return|>",
        called="<|call|>",
    ),
    "modes": Family(
        MODES,
        (
            "<|User|>",
            "<|Assistant|>",
            "<|eos|>",
            "<|calls|>",
            "<|/calls|>",
            "<|call|>",
            "<|/call|>",
            "<|sep|>",
            "<|out|>",
            "<|/out|>",
        ),
        "<|eos|>",
    ),
    "budget": Family(
        BUDGET,
        ("<|bos|>", "<|eos|>"),
        "<|eos|>",
        plain=("<seed:think>", "</seed:think>", "<seed:cot>", "<seed:call>"),
    ),
}
