"""How many requests the shop sends to D1, each a round trip to Cloudflare: counts, not times."""

import pytest
from django.conf import settings

from kikaku.sandbox import Sandbox
from ops.testing.acts import PAYMENTS, Act, Acts, round_trips

# of acts without a published goal: the present counts, so that more are noticed
PRESENT_COUNTS = {
    "SELECT 1": 1,
    f"close of a day of {PAYMENTS} payments": 79,
    "Stripe event of a payment": 22,
    "admin: product of 4 variants saved": 37,
}


@pytest.mark.skipif(
    settings.DATABASES["default"]["ENGINE"] != "kikaku.d1",
    reason="round trips are counted on D1: make test DB=d1 ARGS=ops/tests/test_round_trips.py",
)
@pytest.mark.django_db(transaction=True)
def test_each_act_keeps_within_its_round_trips(sandbox: Sandbox) -> None:
    def count(act: Act) -> int:
        act.prepare()()  # warm up: some requests are sent once per process
        run = act.prepare()
        before = round_trips()
        run()
        after = round_trips()
        assert before is not None and after is not None
        return after - before

    acts = Acts(sandbox).all()
    counts = {act.name: count(act) for act in acts}
    limits = {act.name: PRESENT_COUNTS[act.name] if act.goal is None else act.goal for act in acts}
    assert {name: n for name, n in counts.items() if n > limits[name]} == {}
    assert all(counts.values()), counts
