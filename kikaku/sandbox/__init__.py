"""A stand-in for Stripe for development without a key: the part of its API that the shop uses.

It imports nothing but the standard library, so it stays an independent witness of what the shop sends and
believes. `Sandbox` answers requests in-process; `kikaku.sandbox.server` serves the same over HTTP; both work
on one SQLite file, at the same time if need be. Never used in production.
"""

from kikaku.sandbox.card_payments import NothingToAuthenticate
from kikaku.sandbox.cards import CARDS, Card
from kikaku.sandbox.events import Delivery
from kikaku.sandbox.http import Request, Response
from kikaku.sandbox.konbini import Customer, NoVoucher
from kikaku.sandbox.payments import MethodNotOffered, PayResult, SessionNotOpen, UnknownSession
from kikaku.sandbox.refunds import RefundNotWaiting, UnknownRefund
from kikaku.sandbox.solitude import NotAlone, alone, among_others
from kikaku.sandbox.standin import API_VERSION, Sandbox
from kikaku.sandbox.state import StateFileTooOld

__all__ = [
    "API_VERSION",
    "CARDS",
    "Card",
    "Customer",
    "Delivery",
    "MethodNotOffered",
    "NoVoucher",
    "NotAlone",
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
    "alone",
    "among_others",
]
