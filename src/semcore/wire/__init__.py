"""The JSON of the models' APIs, read once for everybody: prefixes, the providers' caches, HTTP.

The map:

    canonical.py   what of a body counts, as bytes; marks, media, order of keys
    content.py     lists, messages and content blocks, checked as they are read
    turn.py        the last user's text, and the body without it; split.py: as a cache takes them
    question.py    what a request asks and what an answer is worth: the interface of an API
    links.py       ids that are new in every reply
    routes.py      which API a path belongs to; one file each: chat.py responses.py completions.py
                   embeddings.py messages.py gemini.py
    openai.py      what OpenAI's requests have in common; choices.py: answers and streams with `choices`
    sse.py         server-sent events
    encode.py      JSON, read and written
"""
