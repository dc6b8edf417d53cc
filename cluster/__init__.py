"""Where things run and rest: Ray, storage, the ledger, jobs and metrics. Nothing of text."""
