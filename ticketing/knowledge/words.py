"""Words of a text, Chinese and English alike, the same on every database: what articles are indexed by."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

CJK = "\u3400-\u4dbf\u4e00-\u9fff"
_RUN = re.compile(rf"[{CJK}]+|[a-z0-9]+(?:[.\-][a-z0-9]+)*")
_IS_CJK = re.compile(rf"[{CJK}]")

# Terms of the trade in both languages: what a question in one finds in the other. Sites may add their own.
GLOSSARY: Mapping[str, str] = {
    "轴承": "bearing",
    "振动": "vibration",
    "过热": "overheating",
    "温度": "temperature",
    "泄漏": "leakage",
    "漏油": "oil leak",
    "密封": "seal",
    "润滑": "lubrication",
    "磨损": "wear",
    "不平衡": "imbalance",
    "对中": "alignment",
    "松动": "looseness",
    "汽蚀": "cavitation",
    "堵塞": "blockage",
    "滤芯": "filter element",
    "滤网": "strainer",
    "叶轮": "impeller",
    "联轴器": "coupling",
    "电机": "motor",
    "绕组": "winding",
    "绝缘": "insulation",
    "水泵": "pump",
    "风机": "fan",
    "压缩机": "compressor",
    "皮带": "belt",
    "阀门": "valve",
    "压力": "pressure",
    "流量": "flow",
    "电流": "current",
    "转速": "speed",
    "噪声": "noise",
    "传感器": "sensor",
    "断线": "broken wire",
    "更换": "replace",
    "清洗": "clean",
    "校准": "calibration",
}


def words(text: str) -> list[str]:
    """The index words: English ones without their plural, Chinese as pairs of neighbouring characters."""
    found: list[str] = []
    for run in _RUN.findall(unicodedata.normalize("NFKC", text).casefold()):
        if _IS_CJK.match(run):
            found += [run[n : n + 2] for n in range(len(run) - 1)] or [run]
        else:
            found.append(_singular(run) if run.isalpha() else run)
    return found


def translated(text: str, glossary: Mapping[str, str] = GLOSSARY) -> list[str]:
    """Words of the other language for the terms that ``text`` holds."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    mine = words(text)
    found: list[str] = []
    for chinese, english in glossary.items():
        if chinese in folded:
            found += words(english)
        elif _holds(mine, words(english)):
            found += words(chinese)
    return found


def _holds(text: list[str], term: list[str]) -> bool:
    return any(text[n : n + len(term)] == term for n in range(len(text) - len(term) + 1))


def _singular(word: str) -> str:
    """Harman's S-stemmer (How effective is suffixing?, 1991): bearings, bearing."""
    if word.endswith("ies") and not word.endswith(("eies", "aies")):
        return word[:-3] + "y"
    if word.endswith("es") and not word.endswith(("aes", "ees", "oes")):
        return word[:-1]
    if word.endswith("s") and not word.endswith(("us", "ss")) and len(word) > 3:
        return word[:-1]
    return word


def counted(parts: Iterable[tuple[str, int]]) -> dict[str, int]:
    """How often each word stands in texts of different weight (a title counts more than a body)."""
    counts: dict[str, int] = {}
    for text, weight in parts:
        for word in words(text):
            counts[word] = counts.get(word, 0) + weight
    return counts
