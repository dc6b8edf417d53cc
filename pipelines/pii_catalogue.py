"""All recognisers of ours, and the steps that follow them, by name.

| recogniser | entity | what |
|---|---|---|
"""

from pipelines import pii_addresses, pii_dates, pii_digits, pii_emails, pii_names, pii_secrets
from pipelines.pii_recognizer import Recognizer

RECOGNIZERS: tuple[Recognizer, ...] = (
    *pii_emails.RECOGNIZERS,
    *pii_digits.RECOGNIZERS,
    *pii_dates.RECOGNIZERS,
    *pii_names.RECOGNIZERS,
    *pii_addresses.RECOGNIZERS,
    *pii_secrets.RECOGNIZERS,
)
STEPS = ("overlaps", "sums", "domains", "licences")
