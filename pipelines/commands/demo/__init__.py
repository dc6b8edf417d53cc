"""`headrace demo`: a made-up sample and a tiny model, taken the whole way."""
