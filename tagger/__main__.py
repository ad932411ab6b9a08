"""`python -m tagger` is the same as the command `tagger`."""

from tagger.cli import main

main()
