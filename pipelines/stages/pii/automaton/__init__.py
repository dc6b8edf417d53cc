"""Patterns as one automaton over characters: says where a pattern can match at all."""
