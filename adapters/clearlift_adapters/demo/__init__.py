"""The whole product on one machine in seconds: a simulated day, and proof that it went well.

`story` says who is in it and what goes wrong, `stage` puts them together, `day` lets it happen. The
database, the encryption, the token requests over HTTP, tick, relay, queue and replay are the real
ones. Not real are the time (`timelapse`), the providers (`provider`, which hears by `listener`),
and the two programs that share the database with the worker (`api_worker`, `consumer`). `checks`
and `summary` read the file that is left.
"""
