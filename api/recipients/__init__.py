"""The routes without a key: the pixel, the links and the unsubscribe page for recipients, and the
webhooks for providers; tokens and signatures prove the caller. `inbound` carries out what a
webhook reports. The room imports `api.http`, `api.limits` and no other room of `api`.
"""
