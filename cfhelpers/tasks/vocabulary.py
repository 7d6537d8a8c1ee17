"""The words of the generated world: names and values that facts and texts draw from."""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST_NAMES: tuple[str, ...] = _words(
    """Anna Ben Clara David Emma Felix Grace Henry Iris Jack Karen Leo Maria Noah Olivia Peter Quinn Rosa Simon Tina
    Ulrich Vera Walter Xenia Yusuf Zoe Adam Bella Carlos Diana Eric Fiona George Hanna Ivan Julia Kevin Laura Martin
    Nina Oscar Paula Ralph Sarah Tom Ursula Victor Wendy Albert Betty Chris Dora Edgar Flora Gina Hugo Ida Jonas Kate
    Linda Mark Nora Otto Pia Robert Sofia Theo Alice Bruno Carmen Daniel Elena Frank Greta Harold Irene James Kim Lucy
    Max Nancy Owen Penny Rita Sam Tara Vincent Willa Amy Boris Celia Dennis Esther Fred Gloria Hector Ingrid Joan Karl
    Lena Miles Nadia Oliver Priya Rachel Stefan Teresa Umar Violet William Yara"""
)
MEN: tuple[str, ...] = _words(
    """Ben David Felix Henry Jack Leo Noah Peter Simon Walter Adam Carlos Eric George Ivan Kevin Martin Oscar Ralph Tom
    Victor Albert Edgar Hugo Jonas Mark Otto Robert Theo Bruno Frank Harold Owen Vincent Boris Karl Oliver"""
)
WOMEN: tuple[str, ...] = _words(
    """Anna Clara Emma Grace Iris Karen Maria Olivia Rosa Tina Vera Zoe Bella Diana Fiona Hanna Julia Laura Nina Paula
    Sarah Ursula Wendy Betty Dora Flora Gina Kate Linda Nora Sofia Alice Elena Greta Lucy Nancy Penny"""
)
SURNAMES: tuple[str, ...] = _words(
    """Baker Carter Dalton Ellis Foster Garner Harper Irwin Jensen Keller Lawson Mercer Norris Palmer Quigley Reeves
    Sawyer Turner Upton Vaughn Weaver York Archer Bishop Cooper Draper Fisher Glover Hunter Mason"""
)
TOWNS: tuple[str, ...] = _words(
    """Oakton Milford Ashby Riverton Lakewood Stonehill Marlow Brookfield Eastport Fairview Glenwood Harborside
    Kingsley Northgate Pinecrest Redcliff Seabrook Thornton Westbury Elmwood"""
)
COLORS: tuple[str, ...] = _words("red blue green yellow orange purple pink brown black white gray silver")
ANIMALS: tuple[str, ...] = _words(
    "horses foxes owls rabbits dolphins turtles wolves bears penguins otters squirrels swans"
)
FOODS: tuple[str, ...] = _words("pizza soup rice pasta salad bread cheese pancakes noodles potatoes beans dumplings")
FRUITS: tuple[str, ...] = _words("apples pears cherries grapes lemons plums peaches melons bananas berries")
DRINKS: tuple[str, ...] = _words("coffee tea milk water cocoa juice lemonade cider")
FLOWERS: tuple[str, ...] = _words("roses tulips lilies daisies violets orchids poppies sunflowers")
SPORTS: tuple[str, ...] = _words("tennis soccer hockey golf chess rowing skiing boxing basketball volleyball")
MUSIC: tuple[str, ...] = _words("jazz rock opera folk blues soul swing reggae")
INSTRUMENTS: tuple[str, ...] = _words("piano violin guitar flute drums trumpet cello harp")
HOBBIES: tuple[str, ...] = _words("painting gardening knitting fishing hiking reading cooking sailing dancing")
LANGUAGES: tuple[str, ...] = _words("French Spanish German Italian Greek Polish Turkish Arabic Dutch Korean")
SUBJECTS: tuple[str, ...] = _words("history biology chemistry physics geography music art poetry algebra")
JOBS: tuple[str, ...] = _words("baker teacher doctor pilot farmer writer nurse painter sailor judge")
COUNTRIES: tuple[str, ...] = _words("Norway Spain Greece Japan Kenya Peru Canada India Ireland Chile")
SEASONS: tuple[str, ...] = ("spring", "summer", "fall", "winter")
MONTHS: tuple[str, ...] = _words(
    "January February March April May June July August September October November December"
)
DAYS: tuple[str, ...] = _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
WEEKDAYS: tuple[str, ...] = DAYS[:5]
NUMBERS: tuple[str, ...] = _words(
    "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
)
ORDINALS: tuple[str, ...] = _words("first second third fourth fifth sixth seventh eighth ninth tenth")
PET_NAMES: tuple[str, ...] = _words("Rex Luna Milo Bonnie Coco Rocky Daisy Shadow Ginger Pepper Buddy Socks")
MACHINE_NAMES: tuple[str, ...] = _words("Atlas Comet Hermes Juno Nova Orion Pluto Saturn Titan Vega")
STREETS: tuple[str, ...] = _words("Maple Birch Cedar Willow Chestnut Church Mill Station Garden Harbor")
WEATHER: tuple[str, ...] = _words("sunshine snow rain fog wind storms clouds frost")
BOOKS: tuple[str, ...] = _words("novels comics poems diaries legends riddles letters fables")
GOODS: tuple[str, ...] = _words("lamps clocks bicycles carpets mirrors kites boats tents violins toys")
HOURS: tuple[str, ...] = _words("seven eight nine ten eleven twelve one two three four")
MATERIALS: tuple[str, ...] = _words("wood glass steel brick leather paper cotton stone")
