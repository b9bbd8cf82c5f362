"""Provider webhooks: who is allowed to speak for a provider, and what it says in our words. The
table of providers is in `providers`.
"""
