"""The benchmark, `make bench`: what the shop and its books cost, as ratios beside their goals."""
