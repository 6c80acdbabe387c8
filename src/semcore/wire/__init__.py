"""The JSON of the models' APIs, read once for everybody: prefixes, the providers' caches, HTTP.

The map:

    canonical.py   what of a body counts, as bytes; marks, media, order of keys
    content.py     lists, messages and content blocks, checked as they are read
    turn.py        the last user's text, and the body without it
"""
