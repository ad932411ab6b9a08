"""Listening on other computers (extra [dask])."""
