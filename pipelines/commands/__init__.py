"""A file a command of `headrace`, beside those that run a flow."""
