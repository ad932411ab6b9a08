"""Training of the genre models. Installed by the extra ``[train]``; the program itself never imports it."""
