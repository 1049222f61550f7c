"""People who don't exist: names by script, and identifiers in national shapes.

Family and given names are common words and common names of their languages, combined at random by arithmetic; nobody is
meant. Identifiers carry valid check digits where a nation's do, because a scanner looks for just that.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

import numpy as np
from msgspec import Struct

from leadapron.lab.archive.columns import Text, digits, text_table
from leadapron.lab.archive.model import Indices


class Script(Struct, frozen=True):
    """``charset``: value of Specific Character Set; ``codec``: Python's name of it."""

    charset: str
    codec: str
    family: str
    given: str


SCRIPTS: Final[dict[str, Script]] = {
    "english": Script(
        "ISO_IR 100",
        "latin-1",
        "Ashdown Barley Cobb Dunmore Eastlake Fernsby Gale Harrow Ilton Juniper Kettle Larkspur Mossley Northam "
        "Orchard Pemble Quill Rushford Sedge Thatcher Underhill Vale Wetherby",
        "ADA BEN CLARA DAVID ELLEN FRANK GRACE HENRY IRIS JACK KAREN LEO MARY NOEL OLIVE PETER ROSE SAM TESS VICTOR",
    ),
    "german": Script(
        "ISO_IR 100",
        "latin-1",
        "Apfelbäumer Brückner Dörfler Eßlinger Fährmann Göbel Hölzl Jäkel Köhnlein Löffler Mößner Nägele Örtel Pflüger "
        "Rößler Tümmler Übelacker Völkel Wäschle",
        "Änne Bernd Claudia Dörte Ernst Friederike Günther Heike Ingo Jörg Käthe Lutz Mareike Norbert Oskar Petra",
    ),
    "turkish": Script(
        "ISO_IR 148",
        "iso8859-9",
        "Ağaçlı Bülbül Çınarlı Dağlıoğlu Elmalı Fıstık Gümüşdal Irmaklı İncirli Kışlalı Leylekçi Öztepe Pınarlı Süzer "
        "Şahinkaya Taşlık Ünlütaş Yıldızlı",
        "Ayşe Barış Cem Deniz Elif Gökçe Hüseyin Işıl İpek Kaan Leyla Mert Nur Özgür Pınar Şule Tuğba Ümit",
    ),
    "russian": Script(
        "ISO_IR 144",
        "iso8859-5",
        "Берёзкин Ветров Грачёв Дубовой Ежов Журавлёв Зимин Ильмов Калинин Лесной Морошкин Озёров Полевой Речной",
        "Анна Борис Вера Глеб Дарья Егор Жанна Зоя Иван Кира Лев Майя Нина Олег Павел Рита Софья Тихон",
    ),
    "chinese": Script(
        "GB18030",
        "gb18030",
        "林 江 石 柳 梅 竹 云 雷 山 溪 海 田",
        "晓明 雨桐 子涵 思远 佳怡 文博 春燕 建国 秀英 海涛 静怡 志强",
    ),
    "japanese": Script(
        "\\ISO 2022 IR 87",
        "iso2022_jp",
        "山川 森田 石橋 竹林 水野 小松 大谷 桜井 岩瀬 北原",
        "一郎 花子 健太 美咲 翔 陽子 直樹 千尋 学 恵",
    ),
    "persian": Script(
        "ISO_IR 192",
        "utf-8",
        "باغبان چشمه دریایی رودکی سپیدار کوهستانی گلستانی نخلستان",
        "آرش بهار پریسا داریوش سارا شیرین کاوه مینا نیما یاسمن",
    ),
    "portuguese": Script(
        "ISO_IR 100",
        "latin-1",
        "Araçá Brandão Cajuí Damasceno Encruzilhada Figueirôa Gonçálvez Igarapé Jaçanã Laranjal Maracujá Nogueirinha "
        "Olivença Pinhão Riachuelo Sertão Tamandaré",
        "ANA BRUNO CÉLIA DIEGO ELIANE FÁBIO GLÓRIA HUGO INÊS JOÃO LÚCIA MÁRCIO NÁDIA OTÁVIO PAULA RENÉ SÔNIA",
    ),
}


class Names(Struct, frozen=True):
    """All names of a script in one table, and the character set that they are in."""

    charset: str
    table: Text


@lru_cache(len(SCRIPTS))
def names(script: str) -> Names:
    """Person names, family^given, encoded."""
    s = SCRIPTS[script]
    listed = [f"{family}^{given}".encode(s.codec) for family in s.family.split() for given in s.given.split()]
    return Names(s.charset, text_table(listed))


# ---- identifiers ----------------------------------------------------------------------------------------------------


def _decimal(values: Indices, count: int) -> Indices:
    """Digits of each number, one column a digit."""
    powers = 10 ** np.arange(count - 1, -1, -1)
    return values[:, None] // powers % 10


def _join(columns: Indices) -> Text:
    width = columns.shape[1]
    cells = np.ascontiguousarray((columns + ord("0")).astype(np.uint8))
    return cells.view(f"S{width}")[:, 0]


def _plain(people: Indices) -> Text:
    return digits(people + 10_000_000, 8)


def _ssn(people: Indices) -> Text:
    """Shape of a US Social Security number: AAA-GG-SSSS, in areas from 900 up that were never assigned."""
    d = _decimal(people + 900_010_001, 9) + ord("0")
    dash = np.full((len(people), 1), ord("-"))
    cells = np.hstack((d[:, :3], dash, d[:, 3:5], dash, d[:, 5:])).astype(np.uint8)
    return np.ascontiguousarray(cells).view("S11")[:, 0]


def _cpf(people: Indices) -> Text:
    """Brazil's CPF: nine digits and two check digits, modulo 11."""
    d = _decimal(people + 100_000_001, 9)
    first = (d * np.arange(10, 1, -1)).sum(axis=1) * 10 % 11 % 10
    d = np.hstack((d, first[:, None]))
    second = (d * np.arange(11, 1, -1)).sum(axis=1) * 10 % 11 % 10
    return _join(np.hstack((d, second[:, None])))


def _tckn(people: Indices) -> Text:
    """Turkey's T.C. Kimlik No: nine digits, then ((odd · 7 − even) mod 10), then the sum of all ten mod 10."""
    d = _decimal(people + 100_000_001, 9)
    tenth = (d[:, 0::2].sum(axis=1) * 7 - d[:, 1::2].sum(axis=1)) % 10
    d = np.hstack((d, tenth[:, None]))
    return _join(np.hstack((d, (d.sum(axis=1) % 10)[:, None])))


class IdStyle(Struct, frozen=True):
    """``width`` octets; ``texts`` from the number of a person; ``person`` back again (unchecked)."""

    width: int
    texts: Callable[[Indices], Text]
    person: Callable[[bytes], int]


ID_STYLES: Final[dict[str, IdStyle]] = {
    "plain": IdStyle(8, _plain, lambda text: int(text) - 10_000_000),
    "ssn": IdStyle(11, _ssn, lambda text: int(text.replace(b"-", b"")) - 900_010_001),
    "cpf": IdStyle(11, _cpf, lambda text: int(text[:9]) - 100_000_001),
    "tckn": IdStyle(11, _tckn, lambda text: int(text[:9]) - 100_000_001),
}
