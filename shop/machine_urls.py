"""Addresses for search engines and for a storefront of its own; they have no language."""

from django.urls import path

from shop.views import api, machines

urlpatterns = [
    path("robots.txt", machines.robots, name="robots"),
    path("sitemap.xml", machines.sitemap, name="sitemap"),
    path("api/products", api.products, name="api_products"),
    path("api/products/<slug:slug>", api.product, name="api_product"),
    path("api/openapi.json", api.document, name="api_document"),
    path("api/<path:rest>", api.unknown, name="api_unknown"),
]
