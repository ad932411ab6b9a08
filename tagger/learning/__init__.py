"""Genres of a collection's own: what people say, heads learnt from it, networks trained on."""
