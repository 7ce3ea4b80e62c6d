# ruff: noqa: RUF001 - the look-alike characters are the data
import os

import pytest

from restore.io.text import decode_text, printable

# Titles as old files hold them: short, with and without ASCII around them.
TITLES = [
    ("gb18030", "一生相随影视前线制作出品（WWW.44588.COM）"),
    ("gb18030", "大决战之辽沈战役"),
    ("gb18030", "英雄儿女 第01集"),
    ("gb18030", "霸王别姬"),
    ("gb18030", "活着"),
    ("gb18030", "www.btbbt.com 霹雳舞"),
    ("big5hkscs", "臥虎藏龍"),
    ("big5hkscs", "悲情城市 台灣電影"),
    ("big5hkscs", "我的少女時代"),
    ("cp932", "となりのトトロ"),
    ("cp932", "七人の侍"),
    ("cp932", "機動戦士ガンダム 第１話"),
    ("cp932", "羅生門"),
    ("euc_jp", "七人の侍です"),
    ("cp949", "올드보이"),
    ("cp949", "대한민국 영화"),
    ("cp949", "공동경비구역 JSA"),
    ("cp1251", "Война и мир"),
    ("cp1251", "Броненосец «Потёмкин»"),
    ("cp1251", "МОСКВА слезам не верит (1979)"),
    ("koi8_r", "Летят журавли"),
    ("cp1252", "Les Enfants du Paradis, été"),
    ("cp1252", "À bout de souffle"),
    ("cp1252", "Der blaue Engel – „von Kopf bis Fuß“"),
    ("cp1252", "El señor de los años"),
    ("cp1252", "©2001"),
    ("utf-8", "Amélie 红旗 Привет"),
    ("ascii", "Plumbbob"),
]


@pytest.mark.parametrize(("encoding", "title"), TITLES)
def test_reads_a_title_in_its_own_encoding(encoding: str, title: str) -> None:
    assert decode_text(title.encode(encoding)) == title


def test_padding_is_not_text() -> None:
    assert decode_text(b"Fun\0\0") == "Fun"


def test_utf8_cut_by_a_fixed_size_field_stays_utf8() -> None:
    assert decode_text("红旗谱".encode()[:-1]) == "红旗\N{REPLACEMENT CHARACTER}"


def test_never_fails() -> None:
    for first in range(256):
        for second in range(0, 256, 7):
            assert isinstance(decode_text(bytes([first, second, 0xFF, 0x80])), str)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a film.mkv", "a film.mkv"),
        ("\u7535\u5f71 \u00e9t\u00e9 \U0001f3ac", "\u7535\u5f71 \u00e9t\u00e9 \U0001f3ac"),
        ("two\n\tlines", "two\n\tlines"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x9b31mred", "\\x9b31mred"),
        ("title\x1b]0;owned\x07", "title\\x1b]0;owned\\x07"),
        ("over\rwritten\b", "over\\x0dwritten\\x08"),
        ("gpj.\u202evkm", "gpj.\\u202evkm"),
        ("a\u2028b", "a\\u2028b"),
        (os.fsdecode("in/\u7535\u5f71.rm".encode("gbk")), "in/\u7535\u5f71.rm"),
        (os.fsdecode("\u043c\u043e\u0441\u043a\u0432\u0430".encode("cp1251")), "\u043c\u043e\u0441\u043a\u0432\u0430"),
        ("half \ud83c", "half \\ud83c"),
    ],
)  # fmt: skip
def test_what_a_terminal_is_given(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert shown.encode()
