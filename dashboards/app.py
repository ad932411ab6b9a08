"""What Streamlit starts: the pages and their navigation, nothing else."""

from __future__ import annotations

import streamlit as st

from dashboards import library, map, metrics, review, runs, track, upload

st.set_page_config(page_title="tagger", page_icon=":material/library_music:", layout="wide")
st.navigation(
    [module.as_page() for module in (library, track, review, map, upload, metrics, runs)], position="top"
).run()
