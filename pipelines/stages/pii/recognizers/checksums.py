"""Check digits of numbers: what tells one that was issued from digits that look like it."""


def is_card(number: str) -> bool:
    """Whether digits have the check digit of a card.

    Source: ISO/IEC 7812-1 (Luhn)
    """
    doubled = "".join(str(int(digit) * (1 + at % 2)) for at, digit in enumerate(reversed(number)))
    return sum(map(int, doubled)) % 10 == 0


def is_account(number: str) -> bool:
    """Whether letters and digits have the check digits of an IBAN.

    Source: ISO 13616 (MOD 97-10)
    """
    return int("".join(str(int(character, 36)) for character in number[4:] + number[:4])) % 97 == 1
