"""The parts of HTTP that only browsers send and heed: the cookie of a session, the page that a
request comes from, and the headers of answers that keep a browser from guessing, framing, caching
and telling others. The rest of `api.http` imports it. Imports `streams` and no other room of `api`.
"""
