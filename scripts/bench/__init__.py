"""What the shop and its books cost, as ratios beside their goals: `make bench`."""
