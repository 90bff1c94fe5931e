"""The content pages that staff write in the admin."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from shop.models import ContentPage
from shop.pages.links import page_url
from shop.pages.marks import fill_marks
from shop.pages.render import render_page
from shop.views.redirects import moved


@require_safe
def page(request: HttpRequest, slug: str) -> HttpResponse:
    """Show a content page; its HTML was sanitised when it was saved (`shop.sanitise`)."""
    found = ContentPage.objects.filter(slug=slug).first()
    if found is None:
        return moved(request, ContentPage, slug, page_url)
    return render_page(request, "shop/page.html", {"page": found, "body": fill_marks(found.body)})
