"""The dashboard: the collection, why a track was called what it was, corrections, how good the model is."""
