"""Words and phrases that mean the same in a question, so that one question in other words is known again.

Each line names some that may stand for each other; `put` gives every one of them the first of its line. Only
such are listed as change no answer where they change places: no opposites, no kinds of a thing, no numbers
but those that say "half" and "twice". Ours, by hand; English alone.

Cost: some 5 us a sentence.
"""

from collections.abc import Sequence

LINES = """
how many|what number of|number of|count of|what quantity of|quantity of
how much|what amount of|what amount|what sum|amount of|how much of
which|what|what kind of|what sort of
how do i|how can i|how does one|how would i|in what way do i|in what way can i|how should i
why|for what reason|what is the reason
each|every|every single|each and every
total|overall|combined|altogether|in total|in all|all together
left|remaining|left over|still left
get|gets|buy|buys|purchase|purchases|acquire|acquires|obtain|obtains
got|bought|purchased|acquired|obtained
buying|purchasing|getting|acquiring|obtaining
give|gives|hand|hands|provide|provides|supply|supplies
gave|handed|provided|supplied|given
make|makes|produce|produces|earn|earns|create|creates|gain|gains
made|produced|earned|created|gained
need|needs|require|requires
needed|required
want|wants|wish|wishes|would like|d like|desire|desires
wanted|wished|desired
begin|begins|start|starts|commence|commences
began|started|commenced
end|ends|finish|finishes|conclude|concludes
big|large|huge|great
bigger|larger|greater
biggest|largest|greatest
small|little|tiny
smaller|littler
smallest|littlest|tiniest
quickly|fast|rapidly
quick|speedy|rapid
people|persons|folks|folk
person|individual
man|gentleman
woman|lady
child|kid
children|kids
has|owns|possesses|have|own|possess|had|owned|possessed
twice|two times
half|50%|one half|50 percent
find|finds|work out|determine|discover|figure out|find out|locate
explain|explains|describe|describes|clarify|clarifies
money|cash|funds
car|automobile|vehicle
also|too|as well|additionally
because|since|as|for the reason that
if|supposing|provided that|assuming|in case|suppose
often|frequently
help|helps|assist|assists|aid|aids
show|shows|display|displays|demonstrate|demonstrates
near|close to|nearby|next to
job|work|labour|labor|task
cost|costs|price|prices|expense|expenses
keep|keeps|retain|retains
sell|sells|vend|vends
sold|vended
use|uses|employ|employs|utilise|utilises|utilize|utilizes
say|says|state|states|declare|declares
ask|asks|inquire|inquires
many|numerous|a lot of|lots of
but|however|yet
so|thus|therefore|hence
about|roughly|approximately|around
correct|right|accurate
wrong|incorrect|inaccurate
write|compose
check|checks|verify|verifies|test|tests
house|home
pay|pays|spend|spends
paid|spent
friend|companion|pal|buddy
school|academy
pupil|student|learner
teacher|instructor
street|road
shop|store
talk|talks|speak|speaks
picture|image|photo
movie|film
ill|sick
happy|glad
sad|unhappy
quiet|silent
real|actual
reply|replies|answer|answers|respond|responds
receive|receives
choose|chooses|select|selects|pick|picks
join|joins|connect|connects
repair|repairs|fix|fixes|mend|mends
close|closes|shut|shuts
simple|easy
hard|difficult
amount|quantity
currently|now|at present|at the moment|right now
allowed|permitted
permit|permits|allow|allows
"""
# What a question may begin with and mean the same without it.
BARE = ("what is", "which is", "what are", "what 's")


def _table() -> dict[tuple[str, ...], tuple[str, ...]]:
    found = {
        tuple(phrase.split()): tuple(line.split("|")[0].split())
        for line in LINES.strip().splitlines()
        for phrase in line.split("|")
    }
    return {tuple(words.split()): () for words in BARE} | found


TABLE = _table()
# Of the first word of a line all single words of it.
WORDS = {
    line[0]: [word for word in line if " " not in word]
    for line in (text.split("|") for text in LINES.strip().splitlines())
}
# By the first word of a phrase how many words phrases have that begin with it, the longest first.
SIZES = {
    first: sorted({len(phrase) for phrase in TABLE if phrase[0] == first}, reverse=True)
    for first in {phrase[0] for phrase in TABLE}
}


def put(words: Sequence[str]) -> list[str]:
    """The words of a sentence, each phrase that is listed as the first of its line."""
    if SIZES.keys().isdisjoint(words):
        return list(words)
    found: list[str] = []
    behind = 0
    for at, word in enumerate(words):
        if at < behind:
            continue
        for size in SIZES.get(word, ()):
            phrase = tuple(words[at : at + size])
            if phrase in TABLE:
                found += TABLE[phrase]
                behind = at + size
                break
        else:
            found.append(word)
    return found


def alone() -> dict[str, str]:
    """Words of lines none of whose words is among `parts`, with the first of their line."""
    some = set(parts())
    lines = [line.split("|") for line in LINES.strip().splitlines()]
    plain = [line for line in lines if some.isdisjoint(line) and not any(" " in word for word in line)]
    return {word: line[0] for line in plain for word in line}


def parts() -> list[str]:
    """Words that phrases are made of, and what may stand for these: that one stands in a text says little."""
    lines = [line.split("|") for line in LINES.strip().splitlines()]
    phrases = [phrase for line in lines if any(" " in word for word in line) for phrase in line]
    some = {word for phrase in (*phrases, *BARE) for word in phrase.split()}
    return sorted(some.union(*(line for line in lines if not some.isdisjoint(line))))
