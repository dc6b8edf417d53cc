"""Commands that look at a run with the examiner's eyes, beside what every run does."""
