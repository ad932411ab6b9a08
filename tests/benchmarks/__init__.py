"""How fast, how small: the program against the decoder alone and against the usual tutorial."""
