"""The ground that every route stands on: the services of the process and the unit of work of a
request, the caller, the envelope of answers, problem documents, strict JSON, limits and paging. It
knows no resource. It imports `api.limits` and no other room of `api`.
"""
