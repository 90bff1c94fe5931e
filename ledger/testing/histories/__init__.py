"""Disorder: histories of a shop in which anything happens in any order, and what must be true after each of them.

A history is a list of acts (`acts`), plain values that a failing test prints and that can be pasted back; hypothesis
chooses and shrinks them. A `World` lives it: own database, own Stripe, own disk, own clock. Then everything arrives,
the jobs run until it is quiet, every day is closed, and `checks` looks: at our rows, and apart from our code at what
Stripe says.
"""
