"""The words of the generated world: names and values that facts and texts draw from."""

from __future__ import annotations

FIRST_NAMES: tuple[str, ...] = tuple(
    """Anna Ben Clara David Emma Felix Grace Henry Iris Jack Karen Leo Maria Noah Olivia Peter Quinn Rosa Simon Tina
    Ulrich Vera Walter Xenia Yusuf Zoe Adam Bella Carlos Diana Eric Fiona George Hanna Ivan Julia Kevin Laura Martin
    Nina Oscar Paula Ralph Sarah Tom Ursula Victor Wendy Albert Betty Chris Dora Edgar Flora Gina Hugo Ida Jonas Kate
    Linda Mark Nora Otto Pia Robert Sofia Theo Alice Bruno Carmen Daniel Elena Frank Greta Harold Irene James Kim Lucy
    Max Nancy Owen Penny Rita Sam Tara Vincent Willa Amy Boris Celia Dennis Esther Fred Gloria Hector Ingrid Joan Karl
    Lena Miles Nadia Oliver Priya Rachel Stefan Teresa Umar Violet William Yara""".split()
)
MEN: tuple[str, ...] = tuple(
    """Ben David Felix Henry Jack Leo Noah Peter Simon Walter Adam Carlos Eric George Ivan Kevin Martin Oscar Ralph Tom
    Victor Albert Edgar Hugo Jonas Mark Otto Robert Theo Bruno Frank Harold Owen Vincent Boris Karl Oliver""".split()
)
WOMEN: tuple[str, ...] = tuple(
    """Anna Clara Emma Grace Iris Karen Maria Olivia Rosa Tina Vera Zoe Bella Diana Fiona Hanna Julia Laura Nina Paula
    Sarah Ursula Wendy Betty Dora Flora Gina Kate Linda Nora Sofia Alice Elena Greta Lucy Nancy Penny""".split()
)
SURNAMES: tuple[str, ...] = tuple(
    """Baker Carter Dalton Ellis Foster Garner Harper Irwin Jensen Keller Lawson Mercer Norris Palmer Quigley Reeves
    Sawyer Turner Upton Vaughn Weaver York Archer Bishop Cooper Draper Fisher Glover Hunter Mason""".split()
)
TOWNS: tuple[str, ...] = tuple(
    """Oakton Milford Ashby Riverton Lakewood Stonehill Marlow Brookfield Eastport Fairview Glenwood Harborside
    Kingsley Northgate Pinecrest Redcliff Seabrook Thornton Westbury Elmwood""".split()
)
COLORS: tuple[str, ...] = tuple("red blue green yellow orange purple pink brown black white gray silver".split())
ANIMALS: tuple[str, ...] = tuple(
    "horses foxes owls rabbits dolphins turtles wolves bears penguins otters squirrels swans".split()
)
FOODS: tuple[str, ...] = tuple(
    "pizza soup rice pasta salad bread cheese pancakes noodles potatoes beans dumplings".split()
)
FRUITS: tuple[str, ...] = tuple("apples pears cherries grapes lemons plums peaches melons bananas berries".split())
DRINKS: tuple[str, ...] = tuple("coffee tea milk water cocoa juice lemonade cider".split())
FLOWERS: tuple[str, ...] = tuple("roses tulips lilies daisies violets orchids poppies sunflowers".split())
SPORTS: tuple[str, ...] = tuple("tennis soccer hockey golf chess rowing skiing boxing basketball volleyball".split())
MUSIC: tuple[str, ...] = tuple("jazz rock opera folk blues soul swing reggae".split())
INSTRUMENTS: tuple[str, ...] = tuple("piano violin guitar flute drums trumpet cello harp".split())
HOBBIES: tuple[str, ...] = tuple("painting gardening knitting fishing hiking reading cooking sailing dancing".split())
LANGUAGES: tuple[str, ...] = tuple("French Spanish German Italian Greek Polish Turkish Arabic Dutch Korean".split())
SUBJECTS: tuple[str, ...] = tuple("history biology chemistry physics geography music art poetry algebra".split())
JOBS: tuple[str, ...] = tuple("baker teacher doctor pilot farmer writer nurse painter sailor judge".split())
COUNTRIES: tuple[str, ...] = tuple("Norway Spain Greece Japan Kenya Peru Canada India Ireland Chile".split())
SEASONS: tuple[str, ...] = ("spring", "summer", "fall", "winter")
MONTHS: tuple[str, ...] = tuple(
    "January February March April May June July August September October November December".split()
)
DAYS: tuple[str, ...] = tuple("Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split())
WEEKDAYS: tuple[str, ...] = DAYS[:5]
NUMBERS: tuple[str, ...] = tuple(
    "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen".split()
)
ORDINALS: tuple[str, ...] = tuple("first second third fourth fifth sixth seventh eighth ninth tenth".split())
PET_NAMES: tuple[str, ...] = tuple("Rex Luna Milo Bonnie Coco Rocky Daisy Shadow Ginger Pepper Buddy Socks".split())
MACHINE_NAMES: tuple[str, ...] = tuple("Atlas Comet Hermes Juno Nova Orion Pluto Saturn Titan Vega".split())
STREETS: tuple[str, ...] = tuple("Maple Birch Cedar Willow Chestnut Church Mill Station Garden Harbor".split())
WEATHER: tuple[str, ...] = tuple("sunshine snow rain fog wind storms clouds frost".split())
BOOKS: tuple[str, ...] = tuple("novels comics poems diaries legends riddles letters fables".split())
GOODS: tuple[str, ...] = tuple("lamps clocks bicycles carpets mirrors kites boats tents violins toys".split())
HOURS: tuple[str, ...] = tuple("seven eight nine ten eleven twelve one two three four".split())
MATERIALS: tuple[str, ...] = tuple("wood glass steel brick leather paper cotton stone".split())
