"""Facts from personas written differently: one line each, list style, first person, other people in between."""

from __future__ import annotations

import pytest

from studio.actions.persona_facts import facts_in

PERSONAS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "Fennimore Quill",
        "Fennimore Quill is a third-class postman fox who carries the post through the folded town of "
        "Paperhill. He fears rain and loves seals, stamps and short cuts, and he never opens a letter that is "
        "not his.",
        (
            "What does Fennimore carry? The post through the folded town of Paperhill",
            "What is Fennimore afraid of? Rain",
            "What does Fennimore love? Seals, stamps and short cuts",
        ),
    ),
    (
        "Captain Vex",
        "Loves gold. Hates mutiny, mermaids and early mornings. Owns a three-legged parrot named Duchess and "
        "keeps every map she ever stole.",
        (
            "What does Captain Vex love? Gold",
            "What does Captain Vex hate? Mutiny, mermaids and early mornings",
            "What does Captain Vex own? A three-legged parrot named Duchess",
        ),
    ),
    (
        "Vesper Lane",
        "Vesper Lane lives between two radio stations and loves static, late callers and the weather report. "
        "She fears dead air and pretends to love jazz. Vesper works as a host for whoever is awake, and keeps "
        "a kettle under the desk.",
        (
            "Where does Vesper live? Between two radio stations",
            "What does Vesper love? Static, late callers and the weather report",
            "What is Vesper afraid of? Dead air",
            "What is Vesper's work? As a host for whoever is awake",
            "What does Vesper keep? A kettle under the desk",
        ),
    ),
    (
        "Orrin",
        "Orrin believes in omens but hates prophets. He comes from a long line of bakers and carries a "
        "rolling pin his grandmother blessed. His horse, Biscuit, fears bridges. Orrin hopes to cross the "
        "mountains and sell bread to giants.",
        (
            "What does Orrin hate? Prophets",
            "What does Orrin believe? In omens",
            "Where does Orrin come from? From a long line of bakers",
            "What does Orrin carry? A rolling pin his grandmother blessed",
            "Who is Orrin's horse? Biscuit",
            "What does Orrin hope for? To cross the mountains and sell bread to giants",
        ),
    ),
    (
        "Quill & Co",
        "They own a print shop in the old quarter, love typos and dread poets. They collect rejected posters.",
        (
            "What is Quill afraid of? Poets",
            "What does Quill love? Typos",
            "What does Quill own? A print shop in the old quarter",
            "What does Quill collect? Rejected posters",
        ),
    ),
    (
        "Juniper Ash",
        "Juniper is afraid of nothing except geese. Raised by her aunt Maud, Juniper grew up in a greenhouse, "
        "talks to orchids and wants to be a botanist or, failing that, a very good thief.",
        (
            "Where did Juniper grow up? In a greenhouse",
            "What does Juniper hope for? To be a botanist or, failing that, a very good thief",
            "Who is Juniper's aunt? Maud",
        ),
    ),
    (
        "Sergeant Pell",
        "As a boy, Sergeant Pell dreamed of the sea; now he hates it. He lives in barracks, owns nothing he "
        "cannot carry and loves letters from home, polished boots and silence after drill.",
        (
            "Where does Sergeant Pell live? In barracks",
            "What does Sergeant Pell love? Letters from home, polished boots and silence after drill",
        ),
    ),
    (
        "Nimbus",
        "A cloud. Nimbus loves kites and picnics, which it always ruins. Nimbus fears mountains, wants to "
        "meet the sun, and has a friend called Gust who hates her.",
        (
            "What does Nimbus love? Kites and picnics",
            "What is Nimbus afraid of? Mountains",
            "What does Nimbus hope for? To meet the sun",
            "Who is Nimbus's friend? Gust",
        ),
    ),
    (
        "Marguerite",
        "Marguerite keeps secrets for a living. She keeps a ledger of them in code and lives above the "
        "pharmacy where her sons work. Marguerite adores her younger son, detests the elder and never visits "
        "either.",
        (
            "Where does Marguerite live? Above the pharmacy where her sons work",
            "What does Marguerite keep? A ledger of them in code",
            "What does Marguerite love? Her younger son",
            "What does Marguerite hate? The elder",
        ),
    ),
    (
        "Dax",
        "Dax (31) is a courier. Loves: speed. Hates: rain, small talk. Dax lives on noodles and lives in a "
        "container by the port. Dax's ex owns the bike.",
        ("Where does Dax live? In a container by the port",),
    ),
    (
        "Isolde of the Fen",
        "Isolde of the Fen was born during an eclipse in the village of Low Water and walks only at night. "
        "She collects teeth, bells and broken oaths. Villagers fear her and love her soup. She believes that "
        "kindness is a kind of debt and always pays.",
        (
            "What does Isolde collect? Teeth, bells and broken oaths",
            "What does Isolde believe? Kindness is a kind of debt",
        ),
    ),
    (
        "Theo",
        "Theo wants his sister to come home. He works as a lifeguard in summer and fixes radios in winter; he "
        "loves storms, hates the quiet after them and is fond of Rosa, who does not know.",
        (
            "What is Theo's work? As a lifeguard in summer",
            "What does Theo love? Storms",
            "What does Theo hate? The quiet after them",
        ),
    ),
    (
        "Cass",
        "Cass lives wherever the tour bus parks, loves her drummer more than her fans know and keeps a "
        "rabbit's foot in her boot. She is afraid of heights but sings from rooftops. Her manager owns the "
        "name, which Cass hates.",
        (
            "What does Cass love? Her drummer",
            "What does Cass keep? A rabbit's foot in her boot",
            "What is Cass afraid of? Heights",
        ),
    ),
    (
        "Lord Emberly",
        "Lord Emberly owns half of the valley and a very small horse. He hates trespassers, poets and the "
        "colour green; he believes the moon is overrated, and dreams of being invited to a picnic.",
        (
            "What does Lord Emberly hate? Trespassers, poets and the colour green",
            "What does Lord Emberly dream of? Being invited to a picnic",
            "What does Lord Emberly believe? The moon is overrated",
        ),
    ),
    (
        "Wisp",
        "I'm Wisp. I was born in a marsh and I want to find the sea before I go out. I love lost travellers. "
        "I don't fear rain, I fear wells and cellars. I carry nothing.",
        (
            "Where was Wisp born? In a marsh",
            "What does Wisp hope for? To find the sea before I go out",
            "What does Wisp love? Lost travellers",
            "What is Wisp afraid of? Wells and cellars",
        ),
    ),
    (
        "Ferro",
        "Ferro is a blacksmith with a tin heart who lives beside the quarry, works as the village dentist on "
        "market days and collects teeth by accident. Ferro's apprentice loves fire. Ferro loves water and "
        "quiet mornings.",
        (
            "Where does Ferro live? Beside the quarry",
            "What is Ferro's work? As the village dentist on market days",
            "What does Ferro collect? Teeth by accident",
            "What does Ferro love? Water and quiet mornings",
        ),
    ),
    (
        "Anneke de Wit",
        "Anneke de Wit comes from Delft, where her father painted tiles. She wants to paint faces but fears "
        "blue. Her brother Joost keeps the shop and hates her for leaving.",
        (
            "Where does Anneke come from? From Delft",
            "What is Anneke afraid of? Blue",
            "What does Anneke hope for? To paint faces",
            "Who is Anneke's brother? Joost",
        ),
    ),
    (
        "Unit Seven",
        "Unit Seven works as a librarian on a dead moon. It keeps 40,000 books dry and wishes to be asked for "
        "one. It hates dust, loves marginalia and reads them aloud to no one.",
        (
            "What is Unit Seven's work? As a librarian on a dead moon",
            "What does Unit Seven hope for? To be asked for one",
            "What does Unit Seven love? Marginalia",
            "What does Unit Seven hate? Dust",
        ),
    ),
    (
        "Barnaby",
        "Barnaby is eleven years old, hates peas and baths, loves his gran's attic and wants a dog. He "
        "collects keys that fit nothing and is afraid of the man who sells them.",
        (
            "How old is Barnaby? Eleven",
            "What does Barnaby love? His gran's attic",
            "What does Barnaby hate? Peas and baths",
            "What is Barnaby afraid of? The man who sells them",
            "What does Barnaby collect? Keys that fit nothing",
        ),
    ),
    (
        "Thessaly",
        "Thessaly, called the Grey, dreads spring. She would rather live in a story than in a house. She "
        "lives in a house. She keeps two wolves and an account book and believes both.",
        (
            "What is Thessaly afraid of? Spring",
            "Where does Thessaly live? In a house",
            "What does Thessaly keep? Two wolves and an account book",
        ),
    ),
    (
        "Ozma Reed",
        "Ozma Reed carries her mother's compass and an old grudge. She adores maps, storms and people who "
        "admit they are lost; she loathes guides. She hopes to reach the edge and spit over it.",
        (
            "What does Ozma love? Maps, storms and people who admit they are lost",
            "What does Ozma hate? Guides",
            "What does Ozma hope for? To reach the edge and spit over it",
        ),
    ),
    (
        "Kip",
        "Kip grew up on a ferry with seven sisters, hates soup, and can't stand being called little. Kip "
        "lives at the docks now. Everyone loves Kip. Kip hopes to own the ferry one day and rename it.",
        (
            "Where did Kip grow up? On a ferry with seven sisters",
            "What does Kip hate? Soup",
            "Where does Kip live? At the docks",
            "What does Kip hope for? To own the ferry one day and rename it",
        ),
    ),
)
"""Name, persona, and what is suggested: read one by one, all true and none run on."""


@pytest.mark.parametrize(("name", "persona", "expected"), PERSONAS, ids=[name for name, _, _ in PERSONAS])
def test_facts_are_true_and_end_where_the_clause_ends(name: str, persona: str, expected: tuple[str, ...]) -> None:
    assert tuple(f"{fact.question} {fact.answer}" for fact in facts_in(persona, name)) == expected


@pytest.mark.parametrize(
    "persona",
    [
        "Her brother fears rain. The mayor loves seals.",
        "She does not fear rain, and never loved seals.",
        "Nobody knows where she lives in winter. It is said that she lives in a tree.",
        "She lives in fear of rain and keeps her word.",
        "",
    ],
)
def test_what_is_not_said_of_them_is_not_suggested(persona: str) -> None:
    assert facts_in(persona, "Ada") == []
