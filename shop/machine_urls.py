"""Addresses for search engines; they have no language."""

from django.urls import path

from shop.views import machines

urlpatterns = [
    path("robots.txt", machines.robots, name="robots"),
    path("sitemap.xml", machines.sitemap, name="sitemap"),
]
