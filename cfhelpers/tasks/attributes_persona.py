"""Attributes of a person at home: tastes, family, pets, habits."""

from __future__ import annotations

from cfhelpers.tasks import vocabulary as words
from cfhelpers.tasks.attributes import Attribute, attribute

# fmt: off
PERSONA_ATTRIBUTES: tuple[Attribute, ...] = (
    attribute(
        "favorite_color", words.COLORS, "I like {}.", "What is {name}'s favorite color?", "{name} likes {}.",
        """What is your favorite color?
        Which color do you like best?
        What color do you love the most?
        Do you remember your favorite color?
        If you could paint a wall, which color would you choose?
        Tell me the color you like.
        Of all the colors, which one is yours?""",
    ),
    attribute(
        "favorite_food", words.FOODS, "I love to eat {}.", "What does {name} love to eat?", "{name} loves to eat {}.",
        """What is your favorite food?
        What do you like to eat?
        Which dish do you like best?
        What should I cook for you?
        Tell me what you love to eat.
        What would you order for dinner?
        Which meal makes you happy?""",
    ),
    attribute(
        "favorite_fruit", words.FRUITS, "I enjoy eating {}.", "Which fruit does {name} like?",
        "{name} enjoys eating {}.",
        """What is your favorite fruit?
        Which fruit do you like best?
        What fruit should I bring you?
        Tell me the fruit you like.
        Which fruit do you buy at the market?
        What kind of fruit do you enjoy?
        Do you have a favorite fruit?""",
    ),
    attribute(
        "favorite_drink", words.DRINKS, "I drink {}.", "What does {name} like to drink?", "{name} drinks {}.",
        """What is your favorite drink?
        What do you like to drink?
        What can I get you to drink?
        Which drink do you like best?
        What is in your cup in the morning?
        Tell me what you drink.
        What do you drink when you are thirsty?""",
    ),
    attribute(
        "favorite_animal", words.ANIMALS, "I like {} best.", "Which animals does {name} like?",
        "{name} likes {} best.",
        """What is your favorite animal?
        Which animals do you like?
        Which animals would you visit at the zoo?
        Tell me the animals you love.
        What kind of animal do you like best?
        What animals do you dream about?
        Do you have a favorite animal?""",
    ),
    attribute(
        "favorite_flower", words.FLOWERS, "I would plant {}.", "Which flowers does {name} plant?",
        "{name} would plant {}.",
        """What is your favorite flower?
        Which flowers do you like?
        What flowers should I give you?
        Which flowers grow in your garden?
        Tell me the flowers you love.
        What kind of flower do you like best?
        Do you have a favorite flower?""",
    ),
    attribute(
        "favorite_season", words.SEASONS, "I like the {}.", "Which season does {name} like?", "{name} likes the {}.",
        """What is your favorite season?
        Which season do you like best?
        What time of the year do you love?
        Tell me the season you like.
        Which part of the year is the best for you?
        When is the year most beautiful for you?
        Do you have a favorite season?""",
    ),
    attribute(
        "favorite_weather", words.WEATHER, "I enjoy {}.", "What weather does {name} enjoy?", "{name} enjoys {}.",
        """What is your favorite weather?
        Which weather do you like best?
        What kind of weather do you enjoy?
        Tell me the weather you love.
        What weather makes you go outside?
        What do you hope for in the weather report?
        Do you have a favorite kind of weather?""",
    ),
    attribute(
        "favorite_sport", words.SPORTS, "I play {}.", "Which sport does {name} play?", "{name} plays {}.",
        """What is your favorite sport?
        Which sport do you play?
        What game do you like best?
        Tell me the sport you play.
        What do you play on the weekend?
        Which sport do you train for?
        What game are you good at?""",
    ),
    attribute(
        "favorite_music", words.MUSIC, "I listen to {}.", "What music does {name} listen to?",
        "{name} listens to {}.",
        """What is your favorite music?
        What music do you listen to?
        Which kind of music do you like?
        What should we play at your party?
        Tell me what you listen to.
        Which music do you hear at home?
        What kind of songs do you love?""",
    ),
    attribute(
        "instrument", words.INSTRUMENTS, "I can play the {}.", "Which instrument can {name} play?",
        "{name} can play the {}.",
        """Which instrument do you play?
        What instrument can you play?
        Do you play an instrument?
        Tell me the instrument you play.
        Which instrument did you learn as a child?
        What do you play in the band?
        On which instrument do you practice?""",
    ),
    attribute(
        "hobby", words.HOBBIES, "My hobby is {}.", "What is {name}'s hobby?", "{name}'s hobby is {}.",
        """What is your hobby?
        What do you do in your free time?
        What do you like to do after work?
        Tell me about your hobby.
        How do you spend your evenings?
        Do you have a hobby?
        What do you do for fun?""",
    ),
    attribute(
        "language", words.LANGUAGES, "I speak {}.", "Which language does {name} speak?", "{name} speaks {}.",
        """Which language do you speak?
        What language can you speak?
        Which language did you learn at home?
        Tell me the language you speak.
        In which language do you dream?
        What is your mother tongue?
        What language do you use with your family?""",
    ),
    attribute(
        "subject", words.SUBJECTS, "My best subject was {}.", "What was {name}'s best subject?",
        "{name}'s best subject was {}.",
        """What was your best subject at school?
        Which subject did you like at school?
        What did you study with joy?
        Tell me your favorite class.
        In which class did you get good grades?
        What did you enjoy learning as a child?
        Which school subject was easy for you?""",
    ),
    attribute(
        "dream_job", words.JOBS, "I wanted to be a {}.", "What did {name} want to be?", "{name} wanted to be a {}.",
        """What did you want to be as a child?
        What is your dream job?
        Which job did you dream of?
        Tell me what you wanted to become.
        What would you be if you could choose again?
        Which profession did you like as a child?
        What job would you love to have?""",
    ),
    attribute(
        "home_town", words.TOWNS, "I live in {}.", "Where does {name} live?", "{name} lives in {}.",
        """Where do you live?
        What is your home town?
        Which town do you live in?
        Tell me where your home is.
        In which town is your house?
        Where can I visit you?
        What town do you call home?""",
    ),
    attribute(
        "birth_town", words.TOWNS, "I was born in {}.", "Where was {name} born?", "{name} was born in {}.",
        """Where were you born?
        In which town were you born?
        What is your place of birth?
        Tell me where you were born.
        Where did your life begin?
        Which town is on your birth certificate?
        Where did you come into the world?""",
    ),
    attribute(
        "birthday_month", words.MONTHS, "My birthday is in {}.", "When is {name}'s birthday?",
        "{name}'s birthday is in {}.",
        """When is your birthday?
        In which month is your birthday?
        When do you celebrate your birthday?
        Tell me the month of your birthday.
        When should I send you a birthday card?
        In what month do you get older?
        When do you have a birthday cake?""",
    ),
    attribute(
        "dog", words.PET_NAMES, "My dog is called {}.", "What is {name}'s dog called?", "{name}'s dog is called {}.",
        """What is your dog called?
        What is the name of your dog?
        Tell me the name of your dog.
        Which name did you give your dog?
        How do you call your dog?
        Who barks at your door?
        What name does your dog listen to?""",
    ),
    attribute(
        "cat", words.PET_NAMES, "My cat is called {}.", "What is {name}'s cat called?", "{name}'s cat is called {}.",
        """What is your cat called?
        What is the name of your cat?
        Tell me the name of your cat.
        Which name did you give your cat?
        How do you call your cat?
        Who sleeps on your sofa and purrs?
        What name does your cat listen to?""",
    ),
    attribute(
        "best_friend", words.FIRST_NAMES, "My best friend is {}.", "Who is {name}'s best friend?",
        "{name}'s best friend is {}.",
        """Who is your best friend?
        What is the name of your best friend?
        Tell me the name of your best friend.
        Which friend do you trust the most?
        Who is your closest friend?
        With which friend do you share secrets?
        What is your best friend called?""",
    ),
    attribute(
        "sister", words.WOMEN, "My sister is {}.", "Who is {name}'s sister?", "{name}'s sister is {}.",
        """Who is your sister?
        What is the name of your sister?
        Tell me the name of your sister.
        What is your sister called?
        Do you have a sister?
        Which name did your parents give your sister?
        How is your sister named?""",
    ),
    attribute(
        "brother", words.MEN, "My brother is {}.", "Who is {name}'s brother?", "{name}'s brother is {}.",
        """Who is your brother?
        What is the name of your brother?
        Tell me the name of your brother.
        What is your brother called?
        Do you have a brother?
        Which name did your parents give your brother?
        How is your brother named?""",
    ),
    attribute(
        "neighbor", words.FIRST_NAMES, "My neighbor is {}.", "Who is {name}'s neighbor?", "{name}'s neighbor is {}.",
        """Who is your neighbor?
        What is the name of your neighbor?
        Tell me the name of your neighbor.
        What is your neighbor called?
        Who lives next door to you?
        Who lives in the house beside yours?
        Which person lives closest to you?""",
    ),
    attribute(
        "street", words.STREETS, "I live on {} Street.", "On which street does {name} live?",
        "{name} lives on {} Street.",
        """On which street do you live?
        What is the name of your street?
        Which street is your house on?
        Tell me your street.
        What street should the taxi take me to?
        What is your address?
        To which street should I send your letter?""",
    ),
    attribute(
        "lucky_number", words.NUMBERS, "My lucky number is {}.", "What is {name}'s lucky number?",
        "{name}'s lucky number is {}.",
        """What is your lucky number?
        Which number brings you luck?
        Tell me your lucky number.
        What number do you choose in a game?
        Which number do you like best?
        Do you have a lucky number?
        What number would you wear on a shirt?""",
    ),
    attribute(
        "car_color", words.COLORS, "My car is {}.", "What color is {name}'s car?", "{name}'s car is {}.",
        """What color is your car?
        Which color does your car have?
        Tell me the color of your car.
        How can I recognize your car?
        In what color did you buy your car?
        What is the color of the car you drive?
        What does your car look like?""",
    ),
    attribute(
        "hat_color", words.COLORS, "I wear a {} hat.", "What color is {name}'s hat?", "{name} wears a {} hat.",
        """What color is your hat?
        Which hat do you wear?
        Tell me the color of your hat.
        What kind of hat do you have?
        What do you wear on your head?
        Which color did you choose for your hat?
        What does your hat look like?""",
    ),
    attribute(
        "holiday", words.COUNTRIES, "I want to travel to {}.", "Where does {name} want to travel?",
        "{name} wants to travel to {}.",
        """Where do you want to travel?
        Which country would you like to visit?
        Where will you go on vacation?
        Tell me the country you want to see.
        What is the destination of your next trip?
        To which country would you fly?
        What country do you dream of?""",
    ),
    attribute(
        "breakfast", words.FRUITS, "I have {} for breakfast.", "What does {name} have for breakfast?",
        "{name} has {} for breakfast.",
        """What do you have for breakfast?
        What do you eat in the morning?
        Tell me about your breakfast.
        What is on your table in the morning?
        How do you start the day at the table?
        What is the first thing you eat?
        Which breakfast do you like?""",
    ),
    attribute(
        "collection", words.GOODS, "I collect {}.", "What does {name} collect?", "{name} collects {}.",
        """What do you collect?
        Do you have a collection?
        What things fill your shelves?
        Tell me about your collection.
        What should I bring for your collection?
        What is in the boxes in your attic?
        Which objects do you keep buying?""",
    ),
    attribute(
        "rest_day", words.DAYS, "I rest on {}.", "On which day does {name} rest?", "{name} rests on {}.",
        """On which day do you rest?
        What is your day off?
        When do you sleep late?
        Tell me the day you rest.
        Which day do you keep free?
        What day of the week is quiet for you?
        When are you not busy?""",
    ),
)
# fmt: on
