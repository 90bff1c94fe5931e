"""A production process imports neither the Stripe stand-in nor the demo shop nor what tests use."""

import json
import os
import subprocess
import sys
from pathlib import Path

from django.conf import settings

PRODUCTION = {
    "ENVIRONMENT": "production",
    "DJANGO_SETTINGS_MODULE": "kikaku.settings",
    "SECRET_KEY": "Zk3v9yQw7Lr2Xn8Bt5Hd1Jf6Pm4Sc0Ga-Ue_Vi-Wo_Xy-Qb_Nd",
    "STOREFRONT_BASE_URL": "https://shop.example.jp",
    "STRIPE_SECRET_KEY": "rk_live_1234567890",
    "STRIPE_WEBHOOK_SECRET": "whsec_1234567890",
    "STRIPE_API_BASE": "",
}

# Run every job that asks Stripe nothing in an empty shop, and every command that production refuses.
PROCESS = """
import json, sys
from kikaku.wsgi import application
from django.core.management import CommandError, call_command
from django.urls import resolve
from ops.jobs import schedule

call_command("migrate", interactive=False, verbosity=0)
for address in ("/", "/admin/", "/webhooks/stripe"):
    resolve(address)
done = [name for name in schedule.JOBS if name != "balance" and schedule.run(name)]
refusals = []
for command in ("stripe_sandbox", "demo"):
    try:
        call_command(command)
    except CommandError as refusal:
        refusals.append(str(refusal))
print(json.dumps({"done": done, "refusals": refusals, "modules": sorted(sys.modules)}))
"""


def test_production_imports_neither_the_stand_in_nor_the_demo_nor_test_helpers(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", PROCESS],
        cwd=settings.BASE_DIR,
        env={**os.environ, **PRODUCTION, "DATABASE_URL": f"sqlite:///{tmp_path / 'shop.sqlite3'}"},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    seen = json.loads(finished.stdout.splitlines()[-1])
    assert "mail" in seen["done"] and "daily_close" in seen["done"]
    assert len(seen["refusals"]) == 2
    assert "production" in seen["refusals"][0] and "ENVIRONMENT=development" in seen["refusals"][1]
    ours = [
        module for module in seen["modules"] if module.split(".")[0] in ("kikaku", "ledger", "shop", "ops")
    ]
    assert "ops.jobs.schedule" in ours and "shop.views" in ours
    assert [
        module
        for module in ours
        if module.startswith(("kikaku.sandbox", "shop.demo"))
        or {"testing", "tests"}.intersection(module.split("."))
    ] == []
