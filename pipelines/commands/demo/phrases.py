"""The words that the made-up tickets of `commands.demo.sample` are put together from; all written for it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """What can go wrong, how customers say it, and how it is triaged."""

    category: str
    next_step: str
    sayings: tuple[str, ...]


PROBLEMS = (
    Problem(
        "delivery",
        "trace the parcel with the carrier",
        (
            "The {product} I ordered never arrived.",
            "My parcel with the {product} is lost somewhere on its way.",
            "I'm still waiting for the {product}, and the tracking page shows nothing new.",
            "The carrier says that the {product} was delivered, but nobody here has seen it.",
            "Where is my {product}? The shipment hasn't moved for days.",
        ),
    ),
    Problem(
        "delivery",
        "correct the address and send again",
        (
            "The {product} went to my old address.",
            "You shipped the {product} to the wrong street.",
            "I gave a wrong house number when I bought the {product}.",
            "We have moved, and the {product} is going to a flat where we don't live any more.",
            "The driver brought the {product} to our neighbours' town, as the postcode is wrong.",
        ),
    ),
    Problem(
        "billing",
        "refund the second charge",
        (
            "I was charged twice for the {product}.",
            "My bank statement shows two payments for one {product}.",
            "You took the money for the {product} a second time.",
            "The price of the {product} was debited double.",
            "There is a duplicate charge for the {product} on my card.",
        ),
    ),
    Problem(
        "billing",
        "send a corrected invoice",
        (
            "The invoice for the {product} has a wrong tax number.",
            "Our accountant can't use the bill for the {product}, as the company name is missing.",
            "I never got an invoice for the {product}.",
            "The amount on the invoice for the {product} isn't what I paid.",
            "Please issue the receipt for the {product} to our firm instead of to me.",
        ),
    ),
    Problem(
        "defect",
        "send a replacement",
        (
            "The {product} was broken when I opened the box.",
            "The {product} arrived with a crack right across it.",
            "A part of the {product} fell off on the first day.",
            "The {product} is dented and makes a grinding noise.",
            "Out of the packaging came a {product} in pieces.",
        ),
    ),
    Problem(
        "defect",
        "book a repair",
        (
            "The {product} worked for a year and now it won't switch on.",
            "After {number} months of use the {product} stopped working.",
            "The {product} has begun to smell burnt and turns itself off.",
            "The battery of my old {product} doesn't hold a charge any more.",
            "Since last week the {product} overheats, after {number} good months.",
        ),
    ),
    Problem(
        "access",
        "send a link to reset the password",
        (
            "I forgot the password that I used when I bought the {product}.",
            "I can't log in to register my {product}, the password is refused.",
            "My login for the {product} app says wrong password.",
            "The app of the {product} signed me out and doesn't take my password.",
            "How do I set a new password for the account of my {product}?",
        ),
    ),
    Problem(
        "access",
        "unlock the account",
        (
            "My account was locked after I tried to register the {product}.",
            "The {product} page tells me that my account is blocked.",
            "Too many attempts, says the {product} app, and now I'm locked out.",
            "Someone suspended our account while we were setting up the {product}.",
            "The profile with my {product} has been disabled without a word.",
        ),
    ),
    Problem(
        "returns",
        "send a return label",
        (
            "I want to send the {product} back, it's unused.",
            "The {product} isn't what I expected, how can I return it?",
            "I changed my mind about the {product} and would like my money back.",
            "The {product} is too big for our kitchen, please take it back.",
            "I'd like to return the {product} within the two weeks.",
        ),
    ),
    Problem(
        "returns",
        "cancel the order",
        (
            "Please cancel my order of the {product}, it hasn't shipped yet.",
            "I ordered the {product} by mistake, stop it before it leaves.",
            "I don't need the {product} any longer, cancel it please.",
            "Can you call off the order of the {product}?",
            "I found the {product} cheaper elsewhere and wish to cancel.",
        ),
    ),
    Problem(
        "question",
        "send the manual",
        (
            "How do I clean the {product}?",
            "There was no manual in the box of the {product}.",
            "I don't understand what the blinking light on the {product} means.",
            "Which setting of the {product} is the right one for hard water?",
            "Could you explain how the timer of the {product} works?",
        ),
    ),
    Problem(
        "question",
        "check the stock",
        (
            "Is the {product} available in green?",
            "When will the {product} be in stock again?",
            "Do you still sell spare filters for the {product}?",
            "The {product} is sold out, will there be more?",
            "Can I pick up a {product} at your shop this month?",
        ),
    ),
)

URGENCY = {
    "high": (
        "I need this solved today.",
        "It is really urgent for us.",
        "This can't wait until tomorrow.",
        "We depend on it, so please act at once.",
        "Treat this as an emergency, please.",
    ),
    "normal": (
        "An answer within the week would be good.",
        "Please look at it in the next days.",
        "I'd be glad to hear from you this week.",
        "A reply in two or three days is fine.",
        "Please deal with it in the usual time.",
    ),
    "low": (
        "There is no hurry.",
        "Take your time with it.",
        "It isn't important, just whenever you can.",
        "This can wait as long as you like.",
        "No rush at all from my side.",
    ),
}

PRODUCTS = (
    "kettle", "toaster", "blender", "coffee grinder", "rice cooker", "desk lamp", "heater", "fan",
    "vacuum cleaner", "iron", "juicer", "hand mixer", "waffle maker", "air purifier", "radio",
    "kitchen scale", "steam mop", "electric blanket", "ice cream machine", "bread maker",
)  # fmt: skip

PLACES = (
    "Köln", "São Paulo", "Łódź", "Zürich", "Malmö", "Besançon", "A Coruña", "Reykjavík",
    "Galway", "Leeds", "Utrecht", "Porto", "Gdańsk", "Århus", "Brașov", "Győr",
)  # fmt: skip

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

NAMES = ("Ada", "Bruno", "Clara", "Deniz", "Emil", "Farah", "Goran", "Hana", "Ivo", "Jette", "Kofi", "Lena")

OPENINGS = (
    "Hello,",
    "Good morning,",
    "Hi there,",
    "Dear support team,",
    "Good evening from {place},",
    "To whom it may concern,",
    "Hello again,",
    "Dear all,",
    "Greetings from {place}!",
    "Hi, me once more.",
)

DETAILS = (
    "My order number is {order}.",
    "The order {order} was placed on {day}.",
    "I live in {place}.",
    "It was meant as a present for my aunt in {place}.",
    "I already wrote to you on {day}, without an answer.",
    "I have been a customer for {number} years.",
    "We are {number} people in our house and all of them ask me about it.",
    "Your colleague in {place} told me to quote {order}.",
    "On {day} I tried the chat, and it closed after {number} minutes.",
    "The reference on my paper is {order}, if that helps you.",
    "My sister bought the same one in {place} and is happy with it.",
    "I looked at your help pages for {number} minutes and found nothing.",
    "The shop assistant in {place} couldn't help me.",
    "You can reach us on {day} after {number} minutes past nine.",
    "I attach {number} pictures of everything.",
    "Our office in {place} is closed on {day}.",
    "This is about {order}, to be clear.",
    "It has been {number} days by now, counting from {day}.",
)

CLOSINGS = (
    "Thank you.",
    "Many thanks in advance!",
    "Kind regards from {place}",
    "Best wishes",
    "Thanks for your help.",
    "Yours sincerely",
    "Cheers",
    "I hope that you can help me.",
)

RECEIPTS = (
    "Thank you for your message. A colleague will look at it soon.",
    "We have received your message and will be back to you.",
    "Thanks for writing to us. Your ticket is in the queue.",
    "Your message has reached the support desk.",
)

LOG = ("pump ok", "valve closed", "temperature stable", "retry of the sensor", "fan at half speed")
