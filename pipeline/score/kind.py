"""Whether an item asks something that the office could answer."""

from __future__ import annotations

import re

_ASKS = re.compile(
    "请问|想问|求问|求助|咨询|打听|问一下|问下|谁知道|有人知道|有没有人知道|有谁|求解答|求告知|求科普|怎么办(?=[?呢啊]|$)|"
    "哪位知道|能不能告诉|什么时候能|何时能|怎么投|去哪投|去哪里投|在哪投|在哪里投|几点关门|几点开门|几点截止")
_QUESTION_WORD = re.compile(
    "什么|怎么|怎样|如何|哪里|哪儿|哪个|哪些|哪天|哪家|谁|几点|几号|几个|几时|多少|多久|多大|为什么|为何|是不是|是否|"
    "有没有|能不能|可不可以|会不会|要不要|需不需要|行不行|对不对|真的假的|还是")
_END = re.compile("[?吗呢么]")
_LONGEST = 60
_STOPS = "?。!\n…"
_RHETORICAL = re.compile("难道|凭什么|何必|岂|不是吗|何苦|谁不|谁让|有什么用|算什么|怎么回事[啊呀]?!")


def is_question(folded: str) -> bool:
    """True for a folded text (title and text) that asks; a rhetorical question does not."""
    if _ASKS.search(folded):
        return True
    return any(_asks(folded, found.start()) for found in _END.finditer(folded))


def _asks(text: str, place: int) -> bool:
    """Whether the sentence that ends at `place`, with a question mark or a 吗 呢 么, is a question."""
    if text[place] != "?" and place + 1 < len(text) and text[place + 1] not in _STOPS + ", ~":
        return False
    begin = max(place - _LONGEST, 0, *(text.rfind(stop, 0, place) + 1 for stop in _STOPS))
    sentence = text[begin:place + 1]
    if len(sentence) < 3 or _RHETORICAL.search(sentence):
        return False
    return sentence.rstrip("?")[-1:] in ("吗", "么") or bool(_QUESTION_WORD.search(sentence))
