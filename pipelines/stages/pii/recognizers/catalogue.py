"""All recognisers of ours, and the steps that follow them, by name.

| recogniser | entity | what |
|---|---|---|
| `spelled_emails` | EMAIL_ADDRESS | "sam at gmail dot com", "sam [at] gmail [dot] com" |
| `glued_emails` | EMAIL_ADDRESS | "samgmailcom", "sam 42 gmailcom" |
| `told_emails` | EMAIL_ADDRESS | words that end in "com", "net", "org", behind "email" or alone in a line |
| `phones` | PHONE_NUMBER | forms of numbers that no numbering plan knows |
| `bracketed_phones` | PHONE_NUMBER | "[[4258828080]]": valid numbers behind two brackets |
| `told_phones` | PHONE_NUMBER | digits behind "call", "phone", "fax" or in front of "office", "mobile" |
| `told_ssns` | US_SSN | nine or the last four digits behind "ssn", "social security" |
| `told_cards` | CREDIT_CARD | 12 to 19 or the last four digits behind "card" |
| `grouped_cards` | CREDIT_CARD | sixteen digits in fours, whatever their checksum |
| `parted_cards` | CREDIT_CARD | "4111/1111/1111/1111", by its checksum |
| `parted_ibans` | IBAN_CODE | "DE89.3704.0044.0532.0130.00", by its checksum |
| `told_accounts` | US_BANK_NUMBER | digits behind "account number" |
| `told_ids` | ID_NUMBER | digits behind "policy number", "member id", "last four digits" |
| `dates` | DATE_TIME | days with a named month, a named month with its year, "2021/05/03" |
| `introductions` | PERSON | "my name is ...", "I'm ...", "this is ... speaking", "Name: ..." |
| `namings` | PERSON | "call me ...", "named ...", "i am ..." where the name is a known one |
| `labels` | PERSON | "Agent John:", "John Smith:" at the start of a line |
| `greetings` | PERSON | "Hi Anna,", "Dear Mr Smith" |
| `signoffs` | PERSON | "Best regards,", then a line with a name |
| `titles` | PERSON | "Dr. Smith" |
| `streets` | STREET_ADDRESS | a number and a street, with unit, town, state and postal code |
| `glued_streets` | STREET_ADDRESS | "Hauptstraße 5, 10115 Berlin" |
| `numbered_places` | STREET_ADDRESS | a number and words in front of a unit or of state and postal code |
| `told_addresses` | STREET_ADDRESS | a number, words and a number behind "address", "lives at" |
| `boxes` | STREET_ADDRESS | "P.O. Box 12", military boxes |
| `units` | STREET_ADDRESS | "Suite 286" |
| `postcodes` | STREET_ADDRESS | behind "zip code"; with the state in front |
| `corners` | STREET_ADDRESS | "corner of A and B" |
| `api_keys` | API_KEY | tokens of known services, JSON web tokens, "Bearer ..." |
| `assigned_secrets` | API_KEY | values that look random, given to "token", "secret", "api key" |
| `passwords` | PASSWORD | "my password is ...", "password: ...", "Passwort: ...", PINs, in addresses |
| `private_keys` | PRIVATE_KEY | PEM blocks |
| `wrapped_emails` | EMAIL_ADDRESS | an address of which a line ends beside the @ or in the site |
| `wrapped_phones` | PHONE_NUMBER | a number in two lines |
| `wrapped_cards` | CREDIT_CARD | groups of a card in two lines, by their checksum |
| `wrapped_ibans` | IBAN_CODE | groups of an account in two lines, by their checksum |
| `wrapped_ssns` | US_SSN | a number of which a line ends behind a hyphen |
| `joined_emails` | EMAIL_ADDRESS | "jane@example.comThanks": letters behind the suffix |
| `joined_phones` | PHONE_NUMBER | "tel4155550123now": within a word, with a label, a form or a plus |
| `joined_ssns` | US_SSN | "ssn123-45-6789and" |
| `joined_cards` | CREDIT_CARD | "card4111111111111111exp", by its checksum |

`STEPS` follow on all findings together (`overlaps`).
"""

from headrace.pipelines.stages.pii.recognizers import (
    addresses,
    dates,
    emails,
    glued,
    names,
    numbers,
    secrets,
    wrapped,
)
from headrace.pipelines.stages.pii.recognizers.recognizer import Recognizer

RECOGNIZERS: tuple[Recognizer, ...] = (
    *emails.RECOGNIZERS,
    *numbers.RECOGNIZERS,
    *dates.RECOGNIZERS,
    *names.RECOGNIZERS,
    *addresses.RECOGNIZERS,
    *secrets.RECOGNIZERS,
    *wrapped.RECOGNIZERS,
    *glued.RECOGNIZERS,
)
STEPS = ("overlaps", "dress", "code", "times", "references", "sums", "domains", "licences")
