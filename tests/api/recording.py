"""Recording: what a broker answers to all questions, and where that is not what RabbitMQ has answered."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.api.place import Place
from tests.api.questions import http_of, names, put_in, questions
from tests.api.scene import play
from tests.api.shape import compare, shape
from tests.api.stated import STATED, Stated

RABBITMQ = Path(__file__).parent / "rabbitmq-4.3.6.json"
Answers = dict[str, Any]
"""By questions."""


def record(place: Place, shows_after_s: float) -> Answers:
    """What a broker answers. shows_after_s: how long its statistics need to show what clients do."""
    found: Answers = {}
    with play(place, shows_after_s):
        known = names(http_of(place.api, "guest"))
        for at, question in enumerate(questions()):
            reply = http_of(place.api, question.user, at).ask(
                question.method, put_in(question.path, known), question.body
            )
            key = str(question)
            while key in found:
                key += " again"
            found[key] = shape(reply)
    return found


def read(file: Path = RABBITMQ) -> Answers:
    """What was recorded."""
    answers: Answers = json.loads(file.read_text(encoding="utf-8"))
    return answers


def write(file: Path, answers: Answers) -> None:
    """Keep it, an answer on each line."""
    lines = [f"{json.dumps(each)}: {json.dumps(answer, ensure_ascii=False)}" for each, answer in answers.items()]
    file.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


@dataclass
class Judgement:
    """unstated: differences that nothing explains. counts: how often each stated one occurs. same: answers without."""

    unstated: list[str]
    counts: Counter[Stated]
    same: int

    @property
    def idle(self) -> list[Stated]:
        """Stated differences that do not occur."""
        return [stated for stated in STATED if not self.counts[stated]]


def judge(theirs: Answers, ours: Answers) -> Judgement:
    """Which differences are stated, and which are not."""
    unstated: list[str] = []
    counts: Counter[Stated] = Counter()
    different: set[str] = set()
    for question, text in compare(theirs, ours):
        different.add(question)
        stated = next((each for each in STATED if each.explains(question, text)), None)
        if stated is None:
            unstated.append(f"{question}: {text}")
        else:
            counts[stated] += 1
    return Judgement(unstated, counts, len(theirs) - len(different))
