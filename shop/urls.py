"""The shop's addresses; Japanese at /, English below /en/."""

from django.urls import path

from shop.views import cart, catalogue, checkout, contact, content, media, orders

urlpatterns = [
    path("", catalogue.home, name="home"),
    path("products/", catalogue.product_list, name="product_list"),
    path("products/<slug:slug>/", catalogue.product, name="product"),
    path("categories/<slug:slug>/", catalogue.category, name="category"),
    path("arrival/", catalogue.arrival, name="arrival"),
    path("search/", catalogue.search, name="search"),
    path("cart/", cart.cart_page, name="cart"),
    path("cart/add/", cart.cart_add, name="cart_add"),
    path("cart/update/", cart.cart_update, name="cart_update"),
    path("cart/badge/", cart.cart_badge, name="cart_badge"),
    path("checkout/", checkout.address, name="checkout"),
    path("checkout/confirm/", checkout.confirm, name="checkout_confirm"),
    path("checkout/place/", checkout.place, name="checkout_place"),
    path("orders/<str:token>/", orders.order_page, name="order"),
    path("orders/<str:token>/pay/", orders.order_pay, name="order_pay"),
    path("orders/<str:token>/cancel/", orders.order_cancel, name="order_cancel"),
    path("orders/<str:token>/again/", orders.order_again, name="order_again"),
    path("orders/<str:token>/thanks/", orders.order_thanks, name="order_thanks"),
    path("contact/", contact.contact, name="contact"),
    path("contact/sent/", contact.sent, name="contact_sent"),
    path("pages/<slug:slug>/", content.page, name="page"),
    path("media/<path:name>", media.media, name="media"),
]
