"""Attributes of a person's workplace: people, rooms, machines, times."""

from __future__ import annotations

from cfhelpers.tasks import vocabulary as words
from cfhelpers.tasks.attributes import Attribute, attribute

# fmt: off
WORKPLACE_ATTRIBUTES: tuple[Attribute, ...] = (
    attribute(
        "boss", words.FIRST_NAMES, "My boss is {}.", "Who is {name}'s boss?", "{name}'s boss is {}.",
        """Who is your boss?
        What is the name of your boss?
        Tell me the name of your boss.
        Who do you work for?
        Who leads your team?
        Who tells you what to do at work?
        What is your manager called?""",
    ),
    attribute(
        "desk_neighbor", words.FIRST_NAMES, "I sit next to {}.", "Who does {name} sit next to?",
        "{name} sits next to {}.",
        """Who do you sit next to?
        Who sits beside you at work?
        Which colleague is at the next desk?
        Tell me who sits beside you.
        With whom do you share a table at work?
        Who is close to you in the office?
        Whose desk is next to yours?""",
    ),
    attribute(
        "receptionist", words.FIRST_NAMES, "Our receptionist is {}.", "Who is {name}'s receptionist?",
        "{name}'s receptionist is {}.",
        """Who is your receptionist?
        What is the name of your receptionist?
        Who sits at the front desk?
        Tell me who welcomes the visitors.
        Who answers the phone at your company?
        Who will greet me at the entrance?
        Which person works at the reception?""",
    ),
    attribute(
        "intern", words.FIRST_NAMES, "Our intern is {}.", "Who is {name}'s intern?", "{name}'s intern is {}.",
        """Who is your intern?
        What is the name of your intern?
        Tell me the name of the intern.
        Who is learning the work in your team?
        Which person is the newest in your team?
        Who is the student at your office?
        What is the intern called?""",
    ),
    attribute(
        "work_town", words.TOWNS, "I work in {}.", "Where does {name} work?", "{name} works in {}.",
        """Where do you work?
        In which town do you work?
        What town is your office in?
        Tell me where your office is.
        Where do you go every morning for work?
        In which town is your company?
        Where is your place of work?""",
    ),
    attribute(
        "work_street", words.STREETS, "My office is on {} Street.", "On which street is {name}'s office?",
        "{name}'s office is on {} Street.",
        """On which street is your office?
        What is the address of your office?
        Which street do you work on?
        Tell me the street of your office.
        To which street should I send the package for your company?
        Where should the taxi stop for your office?
        What street leads to your company?""",
    ),
    attribute(
        "floor", words.ORDINALS, "I work on the {} floor.", "On which floor does {name} work?",
        "{name} works on the {} floor.",
        """On which floor do you work?
        What floor is your office on?
        Which floor should I go to?
        Tell me the floor of your office.
        Where does the elevator stop for your office?
        How high up is your office?
        Which button do I press in the elevator?""",
    ),
    attribute(
        "room", words.NUMBERS, "My room has number {}.", "What is the number of {name}'s room?",
        "{name}'s room has number {}.",
        """What is the number of your room?
        Which room do you work in?
        Tell me your room number.
        What number is on your office door?
        In which room can I find you?
        Behind which door do you work?
        Which number does your office have?""",
    ),
    attribute(
        "printer", words.MACHINE_NAMES, "Our printer is called {}.", "What is {name}'s printer called?",
        "{name}'s printer is called {}.",
        """What is your printer called?
        What is the name of your printer?
        Which printer do you use?
        Tell me the name of the printer.
        Where do you send your pages to print?
        Which machine prints your letters?
        What name did you give the printer?""",
    ),
    attribute(
        "computer", words.MACHINE_NAMES, "My computer is called {}.", "What is {name}'s computer called?",
        "{name}'s computer is called {}.",
        """What is your computer called?
        What is the name of your computer?
        Which computer do you work on?
        Tell me the name of your computer.
        On which machine do you write your reports?
        Which machine is on your desk?
        What name did you give the computer?""",
    ),
    attribute(
        "project", words.MACHINE_NAMES, "My project is called {}.", "What is {name}'s project called?",
        "{name}'s project is called {}.",
        """What is your project called?
        What is the name of your project?
        Which project do you work on?
        Tell me the name of your project.
        What keeps you busy at work?
        What are you working on this year?
        Which plan does your team follow?""",
    ),
    attribute(
        "meeting_day", words.WEEKDAYS, "We meet on {}.", "On which day does {name}'s team meet?",
        "{name}'s team meets on {}.",
        """On which day is your meeting?
        When does your team meet?
        What day is the team meeting?
        Tell me the day of your meeting.
        On what day do you all sit together?
        Which day is full of talk at work?
        When should I come to the meeting?""",
    ),
    attribute(
        "meeting_hour", words.HOURS, "The meeting starts at {}.", "When does {name}'s meeting start?",
        "{name}'s meeting starts at {}.",
        """At what time does the meeting start?
        What time is your meeting?
        At which hour does your team meet?
        Tell me the hour of the meeting.
        At what hour must I be in the meeting room?
        When does the meeting begin?
        What time should I come to the meeting?""",
    ),
    attribute(
        "start_hour", words.HOURS, "I start work at {}.", "When does {name} start work?", "{name} starts work at {}.",
        """When do you start work?
        At what time do you start working?
        At which hour does your work day begin?
        Tell me when you start work.
        When do you come to the office?
        How early are you at your desk?
        What time does your office open?""",
    ),
    attribute(
        "pay_day", words.MONTHS, "I get my bonus in {}.", "When does {name} get a bonus?", "{name} gets a bonus in {}.",
        """When do you get your bonus?
        In which month do you get your bonus?
        What month brings you extra money?
        Tell me the month of your bonus.
        When does your company pay you extra?
        In what month is your bonus paid?
        When are you rewarded at work?""",
    ),
    attribute(
        "first_month", words.MONTHS, "I joined the company in {}.", "When did {name} join the company?",
        "{name} joined the company in {}.",
        """When did you join the company?
        In which month did you join the company?
        When was your first day at work?
        Tell me when you joined the company.
        Since which month do you work here?
        When were you hired?
        What month did you begin this job?""",
    ),
    attribute(
        "door_color", words.COLORS, "The door is {}.", "What color is {name}'s office door?",
        "{name}'s office door is {}.",
        """What color is your office door?
        Which color does your office door have?
        Tell me the color of your office door.
        How can I recognize your office door?
        In what color did they paint the door at work?
        What does your office door look like?
        What color is the door I should look for?""",
    ),
    attribute(
        "badge_color", words.COLORS, "I wear a {} badge.", "What color is {name}'s badge?", "{name} wears a {} badge.",
        """What color is your badge?
        Which badge do you wear?
        Tell me the color of your badge.
        What kind of badge do you have?
        What do you wear on your jacket at work?
        Which color did the company choose for your badge?
        What does your badge look like?""",
    ),
    attribute(
        "chair_color", words.COLORS, "I sit on a {} chair.", "What color is {name}'s chair?",
        "{name} sits on a {} chair.",
        """What color is your chair?
        Which chair do you sit on?
        Tell me the color of your chair.
        What kind of chair do you have?
        What do you sit on at work?
        Which chair at the office is yours?
        What does your chair look like?""",
    ),
    attribute(
        "lunch", words.FOODS, "We eat {} at lunch.", "What does {name} eat at lunch?", "{name} eats {} at lunch.",
        """What do you eat at lunch?
        What is for lunch at work?
        Which lunch do you have at the office?
        Tell me about your lunch.
        What does the cook at your company make?
        What is served in your cafeteria?
        What do you eat at noon?""",
    ),
    attribute(
        "break_drink", words.DRINKS, "We drink {} in the break.", "What does {name} drink in the break?",
        "{name} drinks {} in the break.",
        """What do you drink in the break?
        Which drink do you have at work?
        What is in the pot at the office?
        Tell me what you drink at work.
        What comes out of the machine in the hall?
        What is in your office mug?
        What do you all drink at ten?""",
    ),
    attribute(
        "product", words.GOODS, "We make {}.", "What does {name}'s company make?", "{name}'s company makes {}.",
        """What does your company make?
        What do you produce?
        Which product does your company sell?
        Tell me what your company makes.
        What comes out of your factory?
        What can I buy from your company?
        What is your company known for?""",
    ),
    attribute(
        "material", words.MATERIALS, "We use {}.", "Which material does {name}'s company use?",
        "{name}'s company uses {}.",
        """Which material does your company use?
        What material do you work with?
        What do the trucks bring to your factory?
        Tell me the material you use at work.
        What are your products made of?
        What is stored in your warehouse?
        Which material do you need most at work?""",
    ),
    attribute(
        "customer", words.COUNTRIES, "Our customers are in {}.", "Where are {name}'s customers?",
        "{name}'s customers are in {}.",
        """Where are your customers?
        In which country are your customers?
        To which country does your company sell?
        Tell me where your customers are.
        Where do your products go?
        Which country buys from your company?
        What country sends you the most orders?""",
    ),
    attribute(
        "training", words.LANGUAGES, "We learn {} at work.", "What does {name} learn at work?",
        "{name} learns {} at work.",
        """What do you learn at work?
        Which language course does your company offer?
        What language do you practice at the office?
        Tell me the language you learn at work.
        Which language does your team study?
        What language do your customers want you to know?
        In which language is your training?""",
    ),
    attribute(
        "office_cat", words.PET_NAMES, "The office cat is called {}.", "What is {name}'s office cat called?",
        "{name}'s office cat is called {}.",
        """What is the office cat called?
        What is the name of the office cat?
        Tell me the name of the office cat.
        Which name did you give the cat at work?
        Who sleeps under the desks at work?
        Who catches the mice at your company?
        What name does the office cat listen to?""",
    ),
    attribute(
        "office_plant", words.FLOWERS, "There are {} on my desk.", "Which flowers are on {name}'s desk?",
        "{name} has {} on the desk.",
        """Which flowers are on your desk?
        What grows on your desk?
        What flowers do you water at work?
        Tell me the flowers in your office.
        What stands in the vase at work?
        Which plants does your office have?
        What kind of flower is at the office?""",
    ),
    attribute(
        "office_music", words.MUSIC, "They play {} in the hall.", "What music plays in {name}'s hall?",
        "They play {} in {name}'s hall.",
        """What music plays in the hall?
        Which music do you hear at work?
        What do the speakers at your company play?
        Tell me the music in the hall.
        What kind of music is on at the office?
        Which songs come from the radio at work?
        What music do visitors hear at your company?""",
    ),
    attribute(
        "team_sport", words.SPORTS, "Our team plays {}.", "Which sport does {name}'s team play?",
        "{name}'s team plays {}.",
        """Which sport does your team play?
        What do you play with your colleagues?
        Which game is popular at your company?
        Tell me the sport of your team.
        What does your company play against other companies?
        What do you all play after work?
        Which sport is on the company poster?""",
    ),
    attribute(
        "team_size", words.NUMBERS, "We are {} people.", "How big is {name}'s team?", "{name}'s team has {} people.",
        """How many people are in your team?
        How big is your team?
        How many colleagues work with you?
        Tell me the size of your team.
        How many chairs does your team need?
        How many of you are there at work?
        What is the number of people in your group?""",
    ),
    attribute(
        "former_job", words.JOBS, "I used to be a {}.", "What did {name} use to be?", "{name} used to be a {}.",
        """What was your job before?
        Which job did you have before this one?
        What did you do before you came here?
        Tell me about your last job.
        What profession did you leave?
        What were you before you joined the company?
        In which job did you work in the past?""",
    ),
    attribute(
        "company_animal", words.ANIMALS, "Our logo shows {}.", "What does {name}'s logo show?",
        "{name}'s logo shows {}.",
        """What does your logo show?
        Which animals are on your logo?
        What is on the sign of your company?
        Tell me the animals on your logo.
        What is painted on the company truck?
        Which animals stand for your company?
        What do I see on your letters?""",
    ),
)
# fmt: on
