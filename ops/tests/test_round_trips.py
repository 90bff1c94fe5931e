"""How many requests the shop sends to D1, each a round trip to Cloudflare: counts, not times."""

import re

import pytest
from django.conf import settings

from kikaku.sandbox import Sandbox
from ops.testing.acts import Act, Acts, round_trips

ROW = re.compile(r"^\| ([^|]+) \| (\d+)[ |]", re.MULTILINE)  # name and round trips


@pytest.mark.skipif(
    settings.DATABASES["default"]["ENGINE"] != "kikaku.d1",
    reason="round trips are counted on D1: make test DB=d1 ARGS=ops/tests/test_round_trips.py",
)
@pytest.mark.django_db(transaction=True)
def test_each_act_takes_the_round_trips_of_the_guide(sandbox: Sandbox) -> None:
    guide = (settings.BASE_DIR / "docs" / "d1.md").read_text()
    documented = {name.replace("`", "").lower(): int(count) for name, count in ROW.findall(guide)}

    def count(act: Act) -> int:
        act.prepare()()  # warm up: some requests are sent once per process
        run = act.prepare()
        before = round_trips()
        run()
        after = round_trips()
        assert before is not None and after is not None
        return after - before

    acts = Acts(sandbox).all()
    counts = {act.name.lower(): count(act) for act in acts}
    assert counts == {name: documented.get(name) for name in counts}
    assert {act.name for act in acts if act.goal is not None and counts[act.name.lower()] > act.goal} == set()
