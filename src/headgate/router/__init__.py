"""Which deployment answers a request, and what next when it fails."""

from headgate.router.attempts import Decision, Fallback, GiveUp, Retry
from headgate.router.live import WELL, Flight, Report, report_of
from headgate.router.router import Router
from headgate.router.table import ProviderFacts, RoutingTable, Surroundings
from headgate.router.values import Choice, Deployment, Entry, Need, Plan, Standing, Wants, Wish

__all__ = [
    "WELL",
    "Choice",
    "Decision",
    "Deployment",
    "Entry",
    "Fallback",
    "Flight",
    "GiveUp",
    "Need",
    "Plan",
    "ProviderFacts",
    "Report",
    "Retry",
    "Router",
    "RoutingTable",
    "Standing",
    "Surroundings",
    "Wants",
    "Wish",
    "report_of",
]
