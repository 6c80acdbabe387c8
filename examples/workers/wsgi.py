"""Several gunicorn workers, one cache file: gunicorn --workers 2 wsgi:app"""

import time
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

from answers import cache, encode, question, reply, stats


def call_model(text: str) -> str:
    """A stand-in: put the call of YOUR model here."""
    time.sleep(0.2)
    return f"(what a model says to {text!r})"


def ask(text: str) -> dict[str, object]:
    called = []

    def compute(text: str) -> str:
        called.append(text)
        return call_model(text)

    answer = cache.get_or_compute(text, compute)
    return reply(text, answer, bool(called))


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    status, message = respond(environ)
    body = encode(message)
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def respond(environ: WSGIEnvironment) -> tuple[str, dict[str, object]]:
    match environ["REQUEST_METHOD"], environ["PATH_INFO"]:
        case "POST", "/ask":
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            try:
                text = question(environ.get("CONTENT_TYPE", ""), body)
            except ValueError as error:
                return "400 Bad Request", {"error": str(error)}
            return "200 OK", ask(text)
        case "GET", "/stats":
            return "200 OK", stats()
    return "404 Not Found", {"error": "POST /ask or GET /stats"}
