"""Words before a colon at the start of a line: those that name who speaks, and those that never do.

All lists are lower case, for labels as `label_key` makes them.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


PRONOUN_LABELS = _words("you me ich du tú yo tu あなた 你 我")
"""The user in a log of two people; beside a user who has a name or a macro they are words like any other."""
USER_LABELS = PRONOUN_LABELS | _words(
    "user human usuario utilisateur benutzer nutzer utente usuário gebruiker użytkownik пользователь "
    "ユーザー 用户 用戶 使用者 玩家 사용자 المستخدم ผู้ใช้"
)
"""Words before the user's lines."""
CHARACTER_LABELS = frozenset(("assistant", "gpt", "bot", "chatbot", "ai"))
"""Words before the lines of whoever answers, in logs of assistants."""
NARRATOR_LABELS = _words(
    "narrator narration system ooc gm dm storyteller scene setting erzähler erzählerin narrador narradora narrateur "
    "narratore ナレーター ナレーション システム 旁白 系统 系統 내레이션 рассказчик"
)
"""Words before lines that nobody says."""
PEOPLE = _words(
    "man woman boy girl child kid baby lady gentleman guy stranger guest customer visitor guard soldier captain "
    "sergeant officer policeman king queen prince princess lord waiter waitress barkeep bartender innkeeper merchant "
    "vendor clerk maid butler servant driver teacher student doctor nurse priest monk witch wizard knight thief voice "
    "voices crowd everyone both all mother father mum mom dad aunt uncle brother sister grandma grandpa neighbour "
    "neighbor villager mann frau kind junge mädchen wache fremder hombre mujer niño niña guardia homme femme garde "
    "uomo donna guardia"
)
"""People without a name; a label that ends in one is somebody, in lower case too."""
_STATUS = (
    "mood location time date weather status health hp mp xp level outfit clothes clothing thoughts position pose "
    "inventory name age gender race species height weight birthday occupation affection trust stamina mana energy "
    "day year month place emotion expression feeling feelings action goal relationship stats"
)
_WRITING = (
    "note notes ps p.s nb warning example examples answer question questions answers summary conclusion result results "
    "step steps rule rules tip tips hint hints fact facts point points part parts item items list chapter section page "
    "title subject topic theme reason reasons cause problem solution idea plan option options choice choices message "
    "sign letter label instruction instructions response input output update edit source sources link links price cost "
    "total amount number first second third fourth last next then finally also lastly one two three four five six "
    "introduction ingredients method recipe translation meaning definition description details detail task tasks pros "
    "cons advantages disadvantages overview background context requirements features key keys important attention "
    "caution danger remember beware listen look see hear think imagine consider promise truth lesson moral motto "
    "secret dear dearest moreover however therefore thus hence remedy correction clue answerer verdict translation "
    "thing things way ways case cases kind sort type types use used this that these those here there it what who why "
    "when where how which mine yours ours theirs yes always never maybe closed open opening hours "
    "morning noon afternoon evening night today tomorrow yesterday now later soon spring summer autumn fall winter "
    "monday tuesday wednesday thursday friday saturday sunday january february march april may june july august "
    "september october november december breakfast lunch dinner supper north south east west left right top bottom "
    "q tl;dr tldr fyi btw psa todo faq imo imho eta asap rsvp lol omg wtf rip aka etc chorus verse bridge refrain act "
    "intro outro interlude sent re cc bcc cheers regards sincerely yours faithfully signed attached enclosed chapter "
    "license licence copyright file files author contact website "
    "near nearby present inside outside meanwhile suddenly later earlier today's"
    " status update breaking news headline weather forecast "
    "diagnosis prescription symptoms treatment dosage side effects requirements materials tools equipment supplies "
    "weapon weapons armor armour skill skills spell spells item quest reward gold coins potion potions sword shield "
    "thought thinking silence translation whisper aloud "
    "love hope fear death life joy luck money art music nature science history politics religion"
)
_ELSEWHERE = (
    "achtung hinweis wichtig merke regel regeln notiz fazit beispiel frage antwort erstens zweitens drittens datum "
    "ort zeit stimmung gesundheit winter sommer herbst frühling nota notas ojo importante recuerda regla reglas "
    "ejemplo pregunta respuesta primero segundo fecha lugar hora estado ánimo remarque attention règle règles exemple "
    "question réponse date lieu heure humeur attenzione regola regole esempio domanda risposta data luogo ora umore "
    "примечание внимание важно правило пример вопрос ответ дата место время 注意 備考 例 質問 答え 場所 日時 時間 "
    "気分 体力 好感度 备注 备忘 例子 问题 回答 地点 时间 日期 心情 状态 規則 规则"
)
OPENING_WORDS = _words(
    "my your his her our their its and but or so if because as for in on at to with without from by about after before "
    "under over not no only just even once i we they he she"
)
"""Words that begin a sentence or a part of one, and no name."""
INTERJECTIONS = _words("well oh ah hm hmm okay ok sure right hey alas ach ha haha sorry please thanks come wait stop")
"""Words that a dash may stand behind as well as a sentence."""
NOT_NAMES = PRONOUN_LABELS | _words(f"{_STATUS} {_WRITING} {_ELSEWHERE}")
"""Words before values, remarks and the parts of a list, which belong to whoever speaks."""
PARTICLES = _words("the of von van de der den del da di la le el y e and und et a")
"""Words inside names that may be small, and that alone are nobody."""
