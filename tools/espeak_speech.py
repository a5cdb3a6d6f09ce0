"""Sentences to be spoken by espeak-ng's voices (``src/audio/espeak.py``)."""

import re

import numpy as np

WORDS = {
    "command": "bin|lay|place|set|put|move",
    "colour": "blue|green|red|white|brown|purple",
    "prep": "at|by|in|with|from",
    "letter": "|".join("ABCDEFGHIJKLMNOPQRSTUVXYZ"),
    "digit": "zero|one|two|three|four|five|six|seven|eight|nine",
    "adverb": "again|now|please|soon",
    "adj": "warm|small|happy|clever|famous|yellow|quiet|beautiful|shiny|wide|foolish",
    "noun": "baby|farmer|piano|window|fish|mother|apple|shoe|bubble|village|moth|puppy",
    "verb": "follows|loves|paints|remembers|moves|brings|washes|finds|shows|believes",
    "place": "by the river|at home|on the bus|before breakfast|over the moon|for a week",
}
PATTERNS = (
    "{command} {colour} {prep} {letter} {digit} {adverb}.",
    "The {adj} {noun} {verb} a {adj} {noun} {place}.",
    "My {noun} {verb} the {noun}, but you move it {place}, {adverb}.",
    "Why would a {adj} {noun} wait {place}?",
    "Call me {adverb}, at {digit} {digit} {digit}, {place}, or at {digit} {digit}.",
)
# for the voices of other languages: one pattern each, its choices written out
OTHERS = {
    "es": "{Mi madre|Pablo|El bombero|Una mujer} {compra|mueve|busca|pinta} {un pan|una vaca|el "
    "barco|un zapato} {muy pequeño|por la mañana|para mi papá|en la playa}.",
    "de": "{Meine Mutter|Der Apfelbaum|Ein Mann} {bewegt|findet|liebt|malt} {zwei Bücher|das Boot|"
    "viele Pferde} {am Abend|im Garten|mit Papa|ohne Pause|für uns}.",
    "it": "{Mia mamma|Il bambino|Un pompiere} {compra|muove|beve|ama} {il pane|poca acqua|due mele|"
    "un fiume} {domani|al mare|con papà|in piazza|per poco}.",
    "cmn": "{我妈妈|大家|朋友们|他爸爸}{今天|明天|马上|不}{买|看|喜欢|卖}{苹果|面包|汽车|书}。",
}
VOICES = [
    *["en-us"] * 5, *["en"] * 3, "en-gb-x-rp", "en-gb-scotland", "en-029", "es", "de", "it", "cmn"
]  # fmt: skip


def make_sentence(rng: np.random.Generator, language: str = "en") -> str:
    """One sentence: English, unless ``language`` is a key of OTHERS (es, de, it, cmn)."""
    if language in OTHERS:
        pattern = OTHERS[language]
    else:
        pattern = PATTERNS[0] if rng.random() < 0.35 else str(rng.choice(PATTERNS[1:]))

    def pick(match: re.Match) -> str:
        return str(rng.choice(WORDS.get(match[1], match[1]).split("|")))

    text = re.sub(r"\{(.*?)\}", pick, pattern)
    return text[0].upper() + text[1:]
