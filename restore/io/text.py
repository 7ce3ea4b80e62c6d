"""Text of unknown encoding, as old files hold it.

A container says nothing about the encoding of its strings, and one file may mix several. Each string
is therefore read by itself: UTF-8 where it is valid (other encodings hardly ever are by accident), else
the encoding whose result looks most like something people write: common characters of the language the
encoding was made for count for it; rare characters, wrong case and symbols inside words against it.
"""

# ruff: noqa: RUF001 - the look-alike characters are the data

from __future__ import annotations

import re
import unicodedata
from codecs import getincrementaldecoder
from collections.abc import Callable
from functools import partial

# The most frequent characters of running text, which a wrong reading seldom hits.
_HANZI = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所"
    "然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与"
    "长把机十民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己"
    "制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系"
    "气题活尔更别打女变四神总何电数安少报才结反受目太量再感建务做接必场件计管期市直德资命山金指克许统区保至队形社"
    "便空决治展马科司五基眼书非则听白却界达光放强即像难且权思王象完设式色路记南品住告类求据程北边死张该交规万取拉"
    "格望觉术领共确传师观清今切院让识候带导争运笔片制作影视前线出品电影字幕录像版集剧歌曲音乐战争红旗英雄"
    "這個們來為國說時會對過發後裡經麼學沒動還進樣開從實軍無與長機關點業將兩間問戰應頭體見產話給門東聲員論處義幾認"
    "條係氣題變總電數報結務計資許統區隊決馬書聽達強難權設記類據該張規術領確傳師觀讓識導爭運視線劇樂紅語愛灣台灣歡"
)
_HANGUL = frozenset(
    "이다는을가에의고하지기사를도로은한인대리나시어자정서아수그보부만해일제스상라전있것들주여과안비선조장원유구동"
    "공성영소국세게위오면적치우생연신분경내중계모방마문무발년실물때없말바음식개화당양회입행불드트미명더강현반관저"
)
_RUSSIAN_VOWELS = frozenset("аеёиоуыэюяАЕЁИОУЫЭЮЯ")
_WESTERN = frozenset("àâäáãåæçèéêëìíîïñòóôöõøœùúûüýÿßÀÂÄÁÃÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÖÕØŒÙÚÛÜ")
_QUOTES = frozenset("«»’‘“”„–—…¿¡")
_SYMBOLS = frozenset("©®°·ºª€£§½™\xa0")


MAX_TEXT = 1 << 20
"""Bytes kept of a string: no player shows more, and a few such strings would fill the memory."""
_JUDGED = 4096
"""Characters that tell an encoding, from the first that is not ASCII."""


def decode_text(raw: bytes) -> str:
    """The most plausible reading of one string, cut after MAX_TEXT bytes; never fails. Trailing NULs are
    padding and dropped."""
    is_whole = len(raw) <= MAX_TEXT
    raw = raw[:MAX_TEXT].rstrip(b"\0")
    whole = _utf8(raw)
    if whole is not None:
        return whole
    best, best_score = raw.decode("latin-1"), -9.0
    # Before it, a byte is a character in every encoding.
    first = next(at for at, byte in enumerate(raw) if byte >= 0x80)
    judged = slice(max(0, first - 64), first + _JUDGED)
    for encoding, likeness in _READINGS:
        try:
            # The cut may go through a character.
            text = getincrementaldecoder(encoding)().decode(raw, final=is_whole)
        except UnicodeDecodeError:
            continue
        score = likeness(text[judged])
        if score > best_score:
            best, best_score = text, score
    return best


_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What a terminal would act on: C0 and C1 controls but tab and newline, line separators of Unicode, and changes of the
writing direction, which make a text read other than it is; and halves of pairs, which are no character."""
_UNDECODED = re.compile(r"[^\s/]*[\udc80-\udcff][^\s/]*")
"""A word, for the second byte of a Chinese character may be an ASCII letter."""


def printable(text: str) -> str:
    """`text` as a terminal or a page may show it: each character it would act on as an escape such as \\x1b, and each
    word of a file name that is not UTF-8 (PEP 383's surrogates) in its most plausible reading."""
    read = _UNDECODED.sub(lambda m: _name(m[0]), text)
    return _UNPRINTABLE.sub(lambda m: _escape(m[0]), read)


def _name(text: str) -> str:
    try:
        return decode_text(text.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:  # other halves of pairs, which no file name gives
        return text.encode("utf-8", "backslashreplace").decode()


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _utf8(raw: bytes) -> str | None:
    """UTF-8, also when a fixed-size field cut its last character; None when it is not UTF-8."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        cut_short = error.reason == "unexpected end of data"
        if cut_short and any(byte >= 0x80 for byte in raw[: error.start]):
            return raw[: error.start].decode("utf-8") + "\N{REPLACEMENT CHARACTER}"
        return None


def _mean(text: str, weight: Callable[[str], float]) -> float:
    """Mean weight of the characters that are not ASCII; control characters damn a reading."""
    weights = [
        -2.0 if unicodedata.category(c) in ("Cc", "Co", "Cn") else weight(c)
        for c in text
        if c > "\x7f"
    ]
    return sum(weights) / len(weights) if weights else 0.0


def _east_asian(text: str, encoding: str, common: frozenset[str]) -> float:
    """For double-byte encodings. The lead byte tells how common a character is: every one of these
    standards lists its frequent characters first."""
    first, last = _COMMON_ROWS[encoding]

    def weight(c: str) -> float:
        if c in common or "\u3041" <= c <= "\u30ff":  # kana
            return 1.0 if encoding in ("cp932", "euc_jp") or c in common else 0.0
        if "\u3000" <= c <= "\u3020" or "\uff01" <= c <= "\uff5e":  # ideographic punctuation
            return 0.6
        code = c.encode(encoding)
        if "\uff61" <= c <= "\uff9f" or len(code) != 2:  # half-width kana, four-byte codes
            return -0.5
        # Below A1 the trail bytes are later additions to GB 2312 and KS X 1001, hardly ever used.
        if encoding in ("gb18030", "cp949") and code[1] < 0xA1:
            return -0.6
        if not first <= code[0] <= last:
            return -0.3
        return 0.2 if "\u4e00" <= c <= "\u9fff" or "\uac00" <= c <= "\ud7a3" else -0.5

    return _mean(text, weight)


_COMMON_ROWS = {
    "gb18030": (0xB0, 0xD7),  # GB 2312 level 1, 3755 hanzi
    "big5hkscs": (0xA4, 0xC6),  # Big5 level 1, 5401 hanzi
    "cp932": (0x88, 0x98),  # JIS X 0208 level 1, 2965 kanji
    "euc_jp": (0xB0, 0xCF),
    "cp949": (0xB0, 0xC8),  # KS X 1001 hangul, 2350 syllables
}


def _cyrillic(text: str) -> float:
    """Letters in words with vowels, capitals only first or throughout."""
    score = _mean(text, lambda c: 0.7 if "Ё" <= c <= "ё" else 0.0 if c in _QUOTES else -1.0)
    letters = sum(c > "\x7f" and c.isalpha() for c in text)
    if letters == 1:  # rather an accent than a word
        score -= 0.2
    for word in re.findall(r"[^\W\d_]+", text):
        foreign = sum(c > "\x7f" for c in word)
        shaped = word.islower() or word.isupper() or word.istitle()
        voiced = len(word) < 3 or not _RUSSIAN_VOWELS.isdisjoint(word)
        if foreign and not (shaped and voiced and foreign == len(word)):
            score -= foreign / letters
    return score


def _western(text: str) -> float:
    """Accented letters, each among plain ones."""
    marked = f" {text} "
    weights = []
    for before, c, after in zip(marked, marked[1:], marked[2:], strict=False):
        if c <= "\x7f":
            continue
        if c in _WESTERN:
            crowded = any(n > "\x7f" and n not in _QUOTES for n in (before, after))
            weights.append(-0.5 if crowded else 0.7)
        else:
            weights.append(0.4 if c in _SYMBOLS or c in _QUOTES else -0.7)
    return sum(weights) / len(weights) if weights else 0.0


# On a tie the earlier one wins.
_READINGS: tuple[tuple[str, Callable[[str], float]], ...] = (
    *(
        (name, partial(_east_asian, encoding=name, common=common))
        for name, common in (
            ("gb18030", _HANZI),
            ("big5hkscs", _HANZI),
            ("cp932", frozenset[str]()),
            ("euc_jp", frozenset[str]()),
            ("cp949", _HANGUL),
        )
    ),
    ("cp1251", _cyrillic),
    ("koi8_r", _cyrillic),
    ("cp1252", _western),
)
