"""What Streamlit starts: the pages and their navigation, nothing else."""

from __future__ import annotations

import streamlit as st

from dashboards import library, map, metrics, review, runs, track, upload

# Of an icon of Streamlit's own library, browsers would ask Google's servers; of a sign of text, nobody.
st.set_page_config(page_title="tagger", page_icon="🎵", layout="wide")
st.navigation(
    [module.as_page() for module in (library, track, review, map, upload, metrics, runs)], position="top"
).run()
