"""What an embedder behind HTTP is made of.

`wire` sends a request, and again when that may help; `lanes` merges the callers of an event loop; `kept` is
the local cache of vectors. `semcore.embed.openai` composes them.
"""
