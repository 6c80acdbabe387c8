"""The edge gateway: an ASGI application between clients and models that answers what was asked before.

app.py      the application: which requests are answered, which pass through
answer.py   a request that may be answered from the cache: hit, follow another one, or ask upstream
items.py    a request for embeddings, item by item
fetch.py    what comes from upstream: passed to listeners, put together, stored
flight.py   calls under way, and who listens to them
store.py    the cache, whose failures stay inside
place.py    where a request's answer lies; reading.py what of a response is passed on and kept
record.py   a stored answer; replay.py gives it as JSON or a stream
control.py  what requests say about caching; status.py what responses say
upstream.py connections to the models; message.py HTTP as ASGI has it
seen.py     what is told of a request that is over; near.py of misses that nearly were hits
tally.py    counts; metrics.py tells them to Prometheus, stats.py to the page, workers.py to other workers
trace.py    spans; log.py JSON logs; admin.py the page, health, purging
config.py   settings; settings.py where they come from, kinds.py what they take
serve.py    the server; demo.py a demonstration, with stub.py as the model
"""
