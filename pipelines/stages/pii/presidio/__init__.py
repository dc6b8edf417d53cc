"""Presidio's recognisers, run where the automaton accepts, with the same findings."""
