"""A stand-in for Stripe for development without a key: the part of its API that the shop uses.

It imports only the standard library, so that it checks independently what the shop sends and assumes; the
modules `adapter` (Django and Stripe's client) and `openapi` (tests) are the exceptions. `Sandbox` answers
requests in-process; `kikaku.sandbox.server` serves the same over HTTP; both may work on one SQLite file at
the same time. Never used in production.
"""

from kikaku.sandbox.card_payments import NothingToAuthenticate
from kikaku.sandbox.cards import CARDS, Card
from kikaku.sandbox.clock_lock import ClockInUse, exclusive_clock, shared_clock
from kikaku.sandbox.events import Delivery
from kikaku.sandbox.http import Request, Response
from kikaku.sandbox.konbini import Customer, NoVoucher
from kikaku.sandbox.payments import MethodNotOffered, PayResult, SessionNotOpen, UnknownSession
from kikaku.sandbox.refunds import RefundNotWaiting, UnknownRefund
from kikaku.sandbox.standin import API_VERSION, Sandbox
from kikaku.sandbox.state import StateFileTooOld

__all__ = [
    "API_VERSION",
    "CARDS",
    "Card",
    "ClockInUse",
    "Customer",
    "Delivery",
    "MethodNotOffered",
    "NoVoucher",
    "NothingToAuthenticate",
    "PayResult",
    "RefundNotWaiting",
    "Request",
    "Response",
    "Sandbox",
    "SessionNotOpen",
    "StateFileTooOld",
    "UnknownRefund",
    "UnknownSession",
    "exclusive_clock",
    "shared_clock",
]
