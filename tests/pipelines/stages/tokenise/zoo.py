"""Forms of chat templates, one a family of models, each written for these tests in the fewest words.

`end`: what ends a turn of the assistant with another one after it (empty: nothing does), `last`: what ends
the last one; both as the loss has them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken
from tokenizers import Tokenizer as Core
from transformers import PreTrainedTokenizerFast

from headrace.pipelines.stages.tokenise.pretrained import SHIPPED
from headrace.pipelines.stages.tokenise.tokenizer import Tokenizer

THINK = ("<think>", "</think>")


@dataclass(frozen=True)
class Family:
    """A form: its template, the special tokens in it, ends of turns; plain: tokens that nobody flagged."""

    template: str
    special: tuple[str, ...]
    end: str
    last: str = ""
    plain: tuple[str, ...] = ()
    called: str = ""  # what ends a turn of calls, where it is another token

    @property
    def ends(self) -> tuple[str, str]:
        return self.end, self.last or self.end


ROLES = "{% for m in messages %}"
PROMPT = "{% endfor %}{% if add_generation_prompt %}"
CHATML = "<|im_start|>", "<|im_end|>"
CALLS_JSON = (
    "{% for c in m.tool_calls or [] %}<tool_call>\n{{ {'name': c.function.name, 'arguments': "
    "c.function.arguments}"
    " | tojson }}\n</tool_call>{% endfor %}"
)
LISTED = "{% if tools %}Tools: {{ tools | tojson }}\n{% endif %}"


def marked(
    open_: str, close: str, *, head: str = "", content: str = "{{ m.content or '' }}", behind: str = ""
) -> str:
    """Every turn between `open_` and `close`, its role first; calls behind its content."""
    prompt = open_.replace("{{ m.role }}", "assistant")
    return f"{head}{ROLES}{open_}{content}{behind}{close}{PROMPT}{prompt}{{% endif %}}"


def by_role(
    user: str, assistant: str, *, head: str = "", tool: str = "", prompt: str = "", system: str = ""
) -> str:
    """A turn by its role; what is asked for names the text by `X`."""
    said = {"user": user, "system": system or user, "tool": tool or user}
    cases = "".join(
        f"{{% {'if' if not n else 'elif'} m.role == '{role}' %}}{text.replace('X', '{{ m.content }}')}"
        for n, (role, text) in enumerate(said.items())
    )
    last = assistant.replace("X", "{{ m.content or '' }}")
    return f"{head}{ROLES}{cases}{{% else %}}{last}{{% endif %}}{PROMPT}{prompt}{{% endif %}}"


THINKING = (
    "{% set ns = namespace(last=0) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = "
    "loop.index0 %}"
    "{% endif %}{% endfor %}"
)
STRIPPED = (
    "{% set text = m.content or '' %}{% set mused = '' %}{% if '</think>' in text %}"
    "{% set mused = text.split('</think>')[0].split('<think>')[-1].strip('\n') %}"
    "{% set text = text.split('</think>')[-1].lstrip('\n') %}{% endif %}"
)
FAMILIES = {
    "chatml": Family(marked("<|im_start|>{{ m.role }}\n", "<|im_end|>\n"), CHATML, "<|im_end|>"),
    "hermes": Family(
        marked("<|im_start|>{{ m.role }}\n", "<|im_end|>\n", head=LISTED, behind=CALLS_JSON),
        CHATML,
        "<|im_end|>",
        plain=("<tool_call>", "</tool_call>"),
    ),
    "unflagged": Family(
        marked("<|im_start|>{{ m.role }}\n", "<|im_end|>\n"),
        (),
        "<|im_end|>",
        plain=("<|im_start|>", "<|im_end|>"),
    ),
    "qwen3": Family(
        THINKING
        + LISTED
        + ROLES
        + "<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}"
        + STRIPPED
        + "{% if loop.last or (mused and loop.index0 > ns.last) %}<think>\n{{ mused }}\n</think>\n\n{% "
        "endif %}{{ text }}"
        + CALLS_JSON
        + "{% else %}{{ m.content }}{% endif %}<|im_end|>\n"
        + PROMPT
        + "<|im_start|>assistant\n{% endif %}",
        CHATML,
        "<|im_end|>",
        plain=("<tool_call>", "</tool_call>"),
    ),
    "r1_distill": Family(
        by_role(
            "<|User|>X",
            "<|Assistant|>{% set text = m.content or '' %}{{ text.split('</think>')[-1] }}{% for c in "
            "m.tool_calls or [] %}"
            "<|call|>{{ c.function.name }}\n{{ c.function.arguments + '' }}<|called|>{% endfor %}<|eos|>",
            prompt="<|Assistant|><think>\n",
            tool="<|result|>X",
        ),
        ("<|User|>", "<|Assistant|>", "<|eos|>", "<|call|>", "<|called|>", "<|result|>"),
        "<|eos|>",
    ),
    "deepseek_v3": Family(
        "<s>" + by_role("<|User|>X", "<|Assistant|></think>X<|eos|>", prompt="<|Assistant|></think>"),
        ("<|User|>", "<|Assistant|>", "<|eos|>"),
        "<|eos|>",
    ),
    "llama2": Family(
        ROLES + "{% if m.role == 'system' %}<<SYS>>{{ m.content }}<</SYS>>{% elif m.role == 'user' "
        "%}<s>[INST] {{ m.content }} [/INST]"
        "{% else %} {{ m.content }} </s>{% endif %}{% endfor %}",
        (),
        " </s>",
    ),
    "llama3": Family(
        "<s>" + marked("<|start|>{{ m.role }}<|header|>\n\n", "<|eot|>", content="{{ m.content | trim }}"),
        ("<|start|>", "<|header|>", "<|eot|>"),
        "<|eot|>",
    ),
    "llama4": Family(
        "<s>"
        + LISTED
        + marked(
            "<|header_start|>{{ m.role }}<|header_end|>\n\n",
            "<|eot|>",
            behind='{% for c in m.tool_calls or [] %}{"name": "{{ c.function.name }}", "parameters": '
            "{{ c.function.arguments | tojson }}}{% endfor %}",
        ),
        ("<|header_start|>", "<|header_end|>", "<|eot|>"),
        "<|eot|>",
    ),
    "mistral_v1": Family("<s>" + by_role(" [INST] X [/INST]", " X</s>"), (), "</s>"),
    "mistral_v3": Family(
        "<s>"
        + ROLES
        + "{% if m.role == 'user' %}{% if tools and loop.index0 == 0 %}[TOOLS] {{ tools | tojson "
        "}}[/TOOLS]{% endif %}"
        "[INST] {{ m.content }}[/INST]{% elif m.role == 'tool' %}[RESULT] {{ m.content }}, {{ "
        "m.tool_call_id }}[/RESULT]"
        "{% elif m.tool_calls is defined %}[CALLS] [{% for c in m.tool_calls %}"
        "{% if c.id | length != 9 %}{{ raise_exception('ids have 9 characters') }}{% endif %}{{ "
        "(c.function | tojson)[:-1] }}"
        ', "id": "{{ c.id }}"}{% endfor %}]</s>{% elif m.role == \'assistant\' %} {{ m.content }}</s>{% '
        "endif %}{% endfor %}",
        ("[INST]", "[/INST]", "[CALLS]", "[TOOLS]", "[/TOOLS]", "[RESULT]", "[/RESULT]"),
        "</s>",
    ),
    "mistral_v7": Family(
        "<s>" + by_role("[INST]X[/INST]", "X</s>", system="[SYS]X[/SYS]"),
        ("[INST]", "[/INST]", "[SYS]", "[/SYS]"),
        "</s>",
    ),
    "gemma": Family(
        "<s>"
        + ROLES
        + "{% if m.role == 'system' %}{{ raise_exception('no system turns') }}{% endif %}<start_of_turn>"
        "{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}<end_of_turn>\n"
        + PROMPT
        + "<start_of_turn>model\n{% endif %}",
        ("<start_of_turn>", "<end_of_turn>"),
        "<end_of_turn>",
    ),
    "phi3": Family(
        marked("<|{{ m.role }}|>\n", "<|end|>\n"),
        ("<|user|>", "<|system|>", "<|assistant|>", "<|tool|>", "<|end|>"),
        "<|end|>",
    ),
    "phi4_mini": Family(
        ROLES
        + "<|{{ m.role }}|>{{ m.content or '' }}{% for c in m.tool_calls or [] %}<|call|>{{ c.function | "
        "tojson }}<|/call|>"
        "{% endfor %}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% else %}</s>{% endif %}",
        ("<|user|>", "<|system|>", "<|assistant|>", "<|tool|>", "<|end|>", "<|call|>", "<|/call|>"),
        "<|end|>",
    ),
    "glm": Family(
        "[gMASK]<sop>"
        + LISTED
        + by_role(
            "<|user|>\nX", "<|assistant|>\nX" + CALLS_JSON, tool="<|observation|>\nX", prompt="<|assistant|>"
        ),
        ("[gMASK]", "<sop>", "<|user|>", "<|assistant|>", "<|observation|>"),
        "<|user|>",
        "</s>",
        called="<|observation|>",
    ),
    "glm_thinking": Family(
        THINKING
        + ROLES
        + "{% if m.role == 'assistant' %}<|assistant|>"
        + STRIPPED
        + "\n<think>{{ mused if loop.index0 > ns.last else '' }}</think>\n{{ text.strip() }}{% else "
        "%}<|user|>\n{{ m.content }}"
        "{% endif %}" + PROMPT + "<|assistant|>{% endif %}",
        ("<|user|>", "<|assistant|>"),
        "<|user|>",
        "</s>",
    ),
    "harmony": Family(
        ROLES + "{% if m.role == 'assistant' %}{% if m.thinking and loop.last "
        "%}<|start|>assistant<|channel|>analysis<|message|>"
        "{{ m.thinking }}<|end|>{% endif %}{% for c in m.tool_calls or [] %}<|start|>assistant "
        "to=functions.{{ c.function.name }}"
        "<|channel|>commentary json<|message|>{{ c.function.arguments | tojson }}<|call|>{% else %}"
        "<|start|>assistant<|channel|>final<|message|>{{ m.content }}{{ '<|return|>' if loop.last and "
        "not add_generation_prompt"
        " else '<|end|>' }}{% endfor %}{% else %}<|start|>{{ m.role }}<|message|>{{ m.content "
        "}}<|end|>{% endif %}" + PROMPT + "<|start|>assistant{% endif %}",
        ("<|start|>", "<|end|>", "<|channel|>", "<|message|>", "<|return|>", "<|call|>"),
        "<|end|>",
        "<|return|>",
        called="<|call|>",
    ),
    "apertus": Family(
        by_role(
            "<|user_start|>X<|user_end|>",
            "<|assistant_start|>X{% if loop.last %}<|assistant_end|>{% endif %}",
            prompt="<|assistant_start|>",
        ),
        ("<|user_start|>", "<|user_end|>", "<|assistant_start|>", "<|assistant_end|>"),
        "",
        "<|assistant_end|>",
    ),
    "command_r": Family(
        "<s>" + by_role("<|turn|><|user|>X<|over|>", "<|turn|><|bot|>X<|over|>", prompt="<|turn|><|bot|>"),
        ("<|turn|>", "<|user|>", "<|bot|>", "<|over|>"),
        "<|over|>",
    ),
    "granite": Family(
        marked("<|start_of_role|>{{ m.role }}<|end_of_role|>", "<|end_of_text|>\n"),
        ("<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>"),
        "<|end_of_text|>",
    ),
    "olmo": Family(
        "<s>"
        + by_role(
            "<|user|>\nX\n",
            "<|assistant|>\nX{% if not loop.last %}</s>\n{% else %}</s>{% endif %}",
            prompt="<|assistant|>\n",
        ),
        ("<|user|>", "<|assistant|>"),
        "</s>",
    ),
    "smollm3": Family(
        marked(
            "<|im_start|>{{ m.role }}\n",
            "<|im_end|>\n",
            head="<|im_start|>system\nMode: /think\n<|im_end|>\n",
        ),
        CHATML,
        "<|im_end|>",
    ),
    "minimax": Family(
        THINKING
        + ROLES
        + "{% if m.role == 'assistant' %}]~b]ai\n"
        + STRIPPED
        + "{% if mused and loop.index0 > ns.last %}<think>\n{{ mused }}\n</think>\n\n{% endif %}{{ "
        "text }}[e~[\n{% else %}"
        "]~b]{{ m.role }}\n{{ m.content }}[e~[\n{% endif %}" + PROMPT + "]~b]ai\n<think>\n{% endif %}",
        ("]~b]", "[e~["),
        "[e~[",
    ),
    "kimi": Family(
        ROLES + "{% if m.role == 'assistant' %}<|im_assistant|>assistant<|im_middle|><think>{{ "
        "m.reasoning_content if loop.last"
        " else '' }}</think>{{ m.content or '' }}{% if m.tool_calls %}<|calls|>{% for c in "
        "m.tool_calls %}<|call|>{{ c.id }}<|args|>"
        "{{ c.function.arguments if c.function.arguments is string else c.function.arguments | tojson "
        "}}<|/call|>{% endfor %}"
        "<|/calls|>{% endif %}{% else %}<|im_{{ 'user' if m.role == 'user' else 'system' }}|>{{ "
        "m.role }}<|im_middle|>{{ m.content }}"
        "{% endif %}<|im_end|>" + PROMPT + "<|im_assistant|>assistant<|im_middle|>{% endif %}",
        (
            "<|im_assistant|>",
            "<|im_user|>",
            "<|im_system|>",
            "<|im_middle|>",
            "<|im_end|>",
            "<|calls|>",
            "<|call|>",
            "<|args|>",
            "<|/call|>",
            "<|/calls|>",
        ),
        "<|im_end|>",
    ),
    "zephyr": Family(
        marked("<|{{ m.role }}|>\n", "</s>\n"), (), "</s>", plain=("<|user|>", "<|assistant|>", "<|system|>")
    ),
    "vicuna": Family(by_role("USER: X ", "ASSISTANT: X</s>", prompt="ASSISTANT:", system="X "), (), "</s>"),
    "alpaca": Family(
        by_role("### Instruction:\nX\n\n", "### Response:\nX\n\n", prompt="### Response:\n", system="X\n\n"),
        (),
        "",
        "</s>",
    ),
    "falcon": Family(by_role("User: X\n\n", "Assistant: X\n\n", prompt="Assistant:"), (), "", "</s>"),
    "internlm": Family(
        marked("<|im_start|>{{ m.role }}\n", "<|im_end|>\n", head="<s>"), CHATML, "<|im_end|>"
    ),
    "yi": Family(marked("<|im_start|>{{ m.role }}\n", "<|im_end|>\n"), CHATML, "<|im_end|>"),
    "exaone": Family(
        by_role(
            "[|user|]X\n",
            "[|assistant|]X[|endofturn|]\n",
            prompt="[|assistant|]",
            system="[|system|]X[|endofturn|]\n",
        ),
        ("[|user|]", "[|assistant|]", "[|system|]", "[|endofturn|]"),
        "[|endofturn|]",
    ),
    "jamba": Family(
        "<s>" + marked("<|bom|><|{{ m.role }}|> ", "<|eom|>"),
        ("<|bom|>", "<|eom|>", "<|user|>", "<|assistant|>", "<|system|>"),
        "<|eom|>",
    ),
    "nemotron": Family(
        THINKING
        + ROLES
        + "<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}"
        + STRIPPED
        + "<think>{{ '\n' + mused if mused and loop.index0 > ns.last else '' }}</think>{{ text }}{% "
        "else %}{{ m.content }}{% endif %}"
        "<|im_end|>\n" + PROMPT + "<|im_start|>assistant\n<think>\n{% endif %}",
        CHATML,
        "<|im_end|>",
    ),
    "seed": Family(
        ROLES + "<|bos|>{{ m.role }}\n{% if m.reasoning_content %}<seed:think>{{ m.reasoning_content | trim "
        "}}</seed:think>\n{% endif %}"
        "{{ m.content }}<|eos|>" + PROMPT + "<|bos|>assistant\n{% endif %}",
        ("<|bos|>", "<|eos|>"),
        "<|eos|>",
        plain=("<seed:think>", "</seed:think>"),
    ),
    "openchat": Family(
        "<s>"
        + by_role(
            "GPT4 User: X<|end_of_turn|>", "GPT4 Assistant: X<|end_of_turn|>", prompt="GPT4 Assistant:"
        ),
        ("<|end_of_turn|>",),
        "<|end_of_turn|>",
    ),
    "upper": Family(
        marked("<|im_start|>{{ m.role }}\n", "<|im_end|>\n", content="{{ m.content | upper }}"),
        CHATML,
        "<|im_end|>",
    ),
    "blank_lines": Family(
        marked(
            "<|im_start|>{{ m.role }}\n", "<|im_end|>\n", content="{{ m.content | replace('\n\n', '\n') }}"
        ),
        CHATML,
        "<|im_end|>",
    ),
}


def build(folder: Path, family: Family, **more: Any) -> Tokenizer:
    """The shipped vocabulary under the template of `family`, its tokens added; `more` as `Tokenizer` takes
    it.
    """
    core = Core.from_file(str(SHIPPED / "tokenizer.json"))
    core.add_special_tokens(["<s>", "</s>", *family.special])
    core.add_tokens([AddedToken(t, special=False, normalized=False) for t in (*THINK, *family.plain)])
    fast = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>")
    fast.chat_template = family.template
    fast.save_pretrained(folder)
    return Tokenizer(str(folder), "tokenizers", **more)
