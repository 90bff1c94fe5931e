"""The webhook that Stripe calls. What an event does is decided in `ledger.ingest`."""

import logging

from django.http import HttpRequest, JsonResponse, UnreadablePostError
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from ledger.ingest import inbox
from ledger.ingest.events import PaymentNotYetKnown

logger = logging.getLogger(__name__)


@csrf_exempt
@require_POST
def stripe_webhook(request: HttpRequest) -> JsonResponse:
    """Receive and process one event.

    Answers 200 done or kept as failed, 400 not ours, 409 in process, 413 too large, 500 to be sent again.
    """
    length = str(request.META.get("CONTENT_LENGTH") or "0")
    if not (length.isascii() and length.isdigit()):
        return JsonResponse({"error": "Content-Length is no number."}, status=400)
    if int(length[:20]) > inbox.MAX_BODY_BYTES:
        return JsonResponse({"error": "The body is larger than 1 MB."}, status=413)
    now = timezone.now()
    try:
        event = inbox.receive(request.body, request.headers.get("Stripe-Signature", ""), now=now)
    except (inbox.Rejected, UnreadablePostError) as error:
        logger.warning("Webhook rejected: %s", error)
        return JsonResponse({"error": str(error)}, status=400)
    except inbox.TRANSIENT_ERRORS as error:
        logger.warning("A webhook could not be stored: %s", error)
        return _send_again()
    try:
        inbox.process(event.pk, now=now)
    except inbox.AlreadyClaimed:
        return JsonResponse({"error": "The event is being handled."}, status=409)
    except PaymentNotYetKnown:
        return JsonResponse({"error": "The event's payment is not known yet."}, status=500)
    except inbox.TRANSIENT_ERRORS:
        return _send_again()
    except Exception:  # any error of the handler: it would occur again at each retry
        return JsonResponse({"ok": False, "error": "The event is kept, but was not understood."})
    return JsonResponse({"ok": True})


def _send_again() -> JsonResponse:
    return JsonResponse({"error": "The event could not be handled; please send it again."}, status=500)
