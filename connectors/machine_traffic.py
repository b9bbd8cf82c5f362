"""The user agents and address ranges of machines that open and click: scanners, proxies and
prefetching. One table, each line with its source.

Their opens and clicks are counted apart from those of people, never dropped.

The image proxies of Gmail (GoogleImageProxy, from 66.249.80.0/20) and Yahoo (YahooMailProxy) are no
machines: they fetch a picture when a person opens the mail, and every reader of those two opens
through them (github.com/mautic/mautic/issues/16069). Gmail's prefetching has an agent of its own.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network

# Parts of user agents, lower case.
_AGENTS = (
    "gmail-content-sampling",  # Gmail follows links: github.com/mssola/user_agent/issues/71
    # Gmail prefetches images before it shows a message: bird.com/blog/gmail-prefetching-images
    "edge/12.246 mozilla/5.0",
    # link previews of Microsoft: bing.com/webmasters/help/which-crawlers-does-bing-use-8c184ec0
    "bingpreview",
    "skypeuripreview",  # link previews of Skype and Teams: the name in their own user agent
)
# The whole user agent of Apple's Mail Privacy Protection: mailgun.com/blog/product/bot-detection
_APPLE = "mozilla/5.0"
_RANGES = tuple(
    ip_network(network)
    for network in (
        # mail servers of Exchange Online, where no person browses:
        # learn.microsoft.com/microsoft-365/enterprise/urls-and-ip-address-ranges
        "40.92.0.0/15",
        "40.107.0.0/16",
        "52.100.0.0/14",
        "104.47.0.0/17",
        "2a01:111:f403::/48",
        "2a01:111:f400::/48",
        # Barracuda Email Gateway Defense:
        # campus.barracuda.com/product/emailgatewaydefense/doc/96023004/ip-analysis-inbound
        "209.222.80.0/21",
    )
)


def is_machine_agent(agent: str) -> bool:
    """Whether this user agent is a machine's. Most scanners claim to be browsers: only their
    address and the time since sending tell them from people.
    """
    agent = agent.strip().lower()
    return agent == _APPLE or any(part in agent for part in _AGENTS)


def is_machine_address(address: IPv4Address | IPv6Address) -> bool:
    """Whether this address belongs to machines only."""
    return any(address in network for network in _RANGES)
