"""Prompts that carry no question of their own: what is said to go on with a talk or to end it, and questions
about what was named before it.

Why: as a single turn of a dialogue "Thanks a lot" and "What is the address?" stand in many rows, each time
with another answer, and all are right. What: a prompt is *only* talk where all its words are, and what it
asks about is *unnamed* where they are of talk, of properties ("the price", "their phone number") and of kinds
of things ("this hotel"), but for one beside a word that points to what was named: "who wrote it". Words
beyond these make a question of it: "the price of gold".

Cost: a set operation a pair of rows that ask the same.
"""

import re
from functools import lru_cache

from headrace.pipelines.stages.dedup.results import words

CACHED = 1 << 12  # prompts: pairs of one come together
# Words that stand in every answer and say nothing.
IDLE = frozenset(
    word
    for line in (
        "a an the is are was were be been it its of in on at to for and or that this there he she they you i",
        "we by with as from has have had do does did so about",
        "here here's it's that's sure ok okay well certainly",
        "der die das ist sind und ein eine le la les est un une et de el los las es y",
    )
    for word in line.split()
)
# What is said to end a talk, or to go on with it, is no question.
TALK = frozenset(
    word
    for line in (
        "yes yeah yep yup no nope ok okay sure thanks thank thankyou thx thats all good great fine nice",
        "cool perfect right correct accurate sounds sound looks look seems like very much many lot lots",
        "bunch ton million times again so too also need needed needs now moment else nothing anything",
        "everything something other another more any some one ones please help helped helping helpful",
        "assistance assist assisting support info information details me my mine your yours us our i'm",
        "i'll i've i'd it'll you're day bye goodbye just not don't really works work working worked",
        "awesome wonderful excellent amazing fantastic brilliant lovely super alright well would will",
        "want hi hello hey oh ah um hmm wow received got gotcha understood know see exactly indeed",
        "absolutely definitely course certainly appreciate appreciated pleasure glad happy problem",
        "worries question questions that'll that'd what's it's let let's go ahead going done be could can",
        "was been set way up out time today for both either kindness quick quickly little bit",
        "maybe later thankful provided gave try tried that's there's",
    )
    for word in line.split()
)
ASKING = frozenset(
    word
    for line in (
        "what which when where how who whose much many long far big often per night tell show say find get",
        "give know ask wonder wondering list exact actual total full current whole final average same these",
        "those what's where's how's when's they're he's she's",
        "check who's",
    )
    for word in line.split()
)
PROPERTIES = frozenset(
    word
    for line in (
        "address addresses location place area city street price prices cost costs fare fee fees rate",
        "rates amount balance total charge charges phone telephone number numbers contact email website",
        "name names title type kind sort category genre rating ratings score stars star date dates day",
        "time times hour hours duration length age size color colour year month language director artist",
        "actor actors singer album cuisine menu weather temperature humidity wind rain stop stops seat",
        "seats departure arrival depart departs leave leaves leaving arrive arrives arriving start starts",
        "starting begin begins end ends open opens opening close closes closing business run costing",
        "playing located based offer",
        "bill take takes",
    )
    for word in line.split()
)
THINGS = frozenset(
    word
    for line in (
        "hotel hotels restaurant restaurants attraction attractions spot scenic place property house",
        "apartment room movie film show song music event concert game flight train bus car ride cab trip",
        "reservation booking ticket tickets appointment doctor dentist therapist stylist salon provider",
        "shop store bank account transfer payment alarm order item product album airline station airport",
        "theater venue",
    )
    for word in line.split()
)
# What a thing is, is a question of its own: "What is a hotel?"
DEFINED = re.compile(r"\s*what(?:'s| is| are) (?:an? )?([^\W\d_]+)\s*[?.!]*\s*", re.IGNORECASE)
POINTING = frozenset("it its they them their there he him his she her my our".split())  # noqa: SIM905
SPOKEN = IDLE | TALK
UNNAMED = SPOKEN | POINTING | ASKING | PROPERTIES | THINGS
# Chinese has no spaces: of what is left without these something is asked.
CHINESE_TALK = re.compile(
    r"好的?|谢谢|多谢|感谢|非常|十分|太|收到|知道|明白|了解|没有?|问题|不用|不客气|再见|拜拜|嗯+|哦|啊|呀|呢|吗|吧|哈|了|的"
    r"|你|您|我|对|行|[，。！？、～…\s]+"
)
CHINESE_UNNAMED = re.compile(
    r"请问|这个|这家|那个|那家|它|他们?|景点|酒店|餐馆|饭店|附近|周边|是|在|有|多少|多久|多长|什么|哪里|哪儿|哪些|哪|几|和|都"
    r"|电话|地址|价格|门票|票价|费用|人均|消费|评分|营业|开放|游玩|时间|类型|名字|推荐菜|地方|别的|还|属于|多|钱"
)


@lru_cache(maxsize=CACHED)
def only(prompt: str) -> bool:
    """Whether a prompt is nothing but talk; an empty one is."""
    return SPOKEN.issuperset(words(CHINESE_TALK.sub(" ", _plain(prompt))))


@lru_cache(maxsize=CACHED)
def unnamed(prompt: str) -> bool:
    """Whether what a prompt asks about is named before it, if anywhere."""
    defined = DEFINED.fullmatch(_plain(prompt))
    if defined and defined[1].casefold() in PROPERTIES | THINGS:
        return False
    said = set(words(CHINESE_TALK.sub(" ", CHINESE_UNNAMED.sub(" ", _plain(prompt)))))
    return len(said - UNNAMED) <= (1 if said & POINTING else 0)


def _plain(prompt: str) -> str:
    return prompt.replace("’", "'")
