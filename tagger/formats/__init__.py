"""The bytes of each container: what it is, where audio and tags lie in it, how the genre alone is changed.

`tagger.tags` reads and edits by these parts, `tagger.replace` proves the result, `tagger.scan` knows music by
them.
"""
