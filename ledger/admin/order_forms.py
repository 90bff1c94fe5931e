"""Forms of an order: ship, refund, keep money, cancel. They validate input; domain functions decide."""

import secrets
from collections.abc import Collection, Iterator, Mapping
from datetime import date
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from kikaku.days import business_day
from kikaku.money import MAX_CHARGE, yen
from ledger.models import Carrier, Order, OrderLine, Shipment
from ledger.models.orders import OrderStatus
from ledger.sales.refunds import RefundRequest, Side
from ledger.sales.tracking import is_doubtful, normalise_tracking_number

OTHER = "other"
SIDE_LABELS = {
    Side.UNSHIPPED: gettext_lazy("what is not shipped gets cheaper (up to %(amount)s)"),
    Side.SHIPPED: gettext_lazy("an allowance on what was shipped (up to %(amount)s)"),
}


class OrderForm(forms.Form):
    """Base of the forms: the order, and a nonce that makes a form that is sent twice one act."""

    nonce = forms.CharField(max_length=64, widget=forms.HiddenInput)

    def __init__(self, order: Order, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(data, initial={"nonce": secrets.token_urlsafe(16)})
        self.order = order
        self.lines = list(order.lines.order_by("position"))


class LinesForm(OrderForm):
    """Form with numbers of pieces for each line."""

    numbers: Mapping[str, Any] = {"line": gettext_lazy("pieces")}  # name → label

    def __init__(self, order: Order, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(order, data)
        possible = set()
        for line in self.lines:
            for name, maximum in self.maximums(line).items():
                # what was entered on an older page, when it was possible, is refused and not ignored
                if maximum or self.data.get(f"{name}_{line.pk}", "0") not in ("", "0"):
                    possible.add(name)
                    self.fields[f"{name}_{line.pk}"] = forms.IntegerField(
                        label=line.packing_title,
                        min_value=0,
                        max_value=maximum,
                        initial=self.initial_quantity(line),
                        required=False,
                        widget=UnfoldAdminIntegerFieldWidget(
                            attrs={
                                "inputmode": "numeric",
                                "aria-label": f"{line.packing_title}: {self.numbers[name]}",
                            }
                        ),
                    )
        self.numbers = {name: label for name, label in self.numbers.items() if name in possible}

    def maximums(self, line: OrderLine) -> dict[str, int]:
        """Return how many pieces of a line may be entered, by the name of the number."""
        return {"line": line.shippable}

    def initial_quantity(self, line: OrderLine) -> int:
        """Return how many pieces of a line are filled in."""
        return line.shippable

    def rows(self) -> Iterator[tuple[OrderLine, list[tuple[Any, forms.BoundField | None]]]]:
        """Yield each line with its numbers: the label, and the field or None where none can be entered."""
        for line in self.lines:
            fields = {name: f"{name}_{line.pk}" for name in self.numbers}
            yield (
                line,
                [
                    (self.numbers[name], self[field] if field in self.fields else None)
                    for name, field in fields.items()
                ],
            )

    def quantities(self, name: str = "line") -> dict[int, int]:
        """Return order line id → pieces of a number, of a valid form."""
        return {
            line.pk: self.cleaned_data[f"{name}_{line.pk}"]
            for line in self.lines
            if self.cleaned_data.get(f"{name}_{line.pk}")
        }

    def others(self) -> list[forms.BoundField]:
        """Return the visible fields other than the numbers of pieces."""
        of_lines = {f"{name}_{line.pk}" for name in self.numbers for line in self.lines}
        return [field for field in self.visible_fields() if field.name not in of_lines]


class ParcelFields(forms.Form):
    """Carrier and tracking number of a parcel, as the forms that ask for them have them."""

    carrier = forms.ChoiceField(label=gettext_lazy("Carrier"), widget=UnfoldAdminSelectWidget)
    other_carrier = forms.CharField(
        label=gettext_lazy("Other carrier"), max_length=40, required=False, widget=UnfoldAdminTextInputWidget
    )
    tracking_number = forms.CharField(
        label=gettext_lazy("Tracking number"),
        max_length=60,
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off", "autofocus": True}),
    )
    # the doubtful number that was asked about: the same number sent once more is taken
    sure = forms.CharField(required=False, widget=forms.HiddenInput)

    def offer_carriers(self, chosen: str) -> None:
        """Offer the carriers of the shop, and another one; fill in the `chosen` one."""
        names = list(Carrier.objects.values_list("name", flat=True))
        field = self.fields["carrier"]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101  (tells mypy, true by the class above)
        field.choices = [*((name, name) for name in names), (OTHER, gettext_lazy("other"))]
        if chosen in names:
            self.initial["carrier"] = chosen
        elif chosen:
            self.initial.update(carrier=OTHER, other_carrier=chosen)

    def clean_tracking_number(self) -> str:
        """Return the number, normalised. A doubtful one is asked about once: some contracts have such."""
        number = normalise_tracking_number(self.cleaned_data["tracking_number"])
        if number and is_doubtful(number) and self.data.get("sure") != number:
            self.data = {**dict(self.data.items()), "sure": number}
            text = _(
                "%(number)s has a wrong check digit or an unusual form. If it is right, send it once more."
            )
            raise forms.ValidationError(text % {"number": number})
        return number

    def clean(self) -> dict[str, Any]:
        """Require the name of another carrier."""
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("carrier") == OTHER and not cleaned.get("other_carrier"):
            self.add_error("other_carrier", _("Write the name of the carrier."))
        return cleaned

    def carrier_name(self) -> str:
        """Return the name of the carrier that was chosen or entered."""
        chosen = self.cleaned_data["carrier"]
        return str(self.cleaned_data["other_carrier"] if chosen == OTHER else chosen)


class ParcelForm(ParcelFields):
    """Carrier and tracking number of a parcel that has left."""

    def __init__(self, shipment: Shipment, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(data, initial={"tracking_number": shipment.tracking_number})
        self.offer_carriers(shipment.carrier)


class ShipForm(ParcelFields, LinesForm):
    """Pieces and carrier of a parcel; `carrier` is filled in.

    Lines without money (`free`) leave only as a gift: those that were refunded in a parcel of their own,
    those of ¥0 also with what is sold, each with its reason.
    """

    def __init__(
        self,
        order: Order,
        data: Mapping[str, Any] | None = None,
        *,
        today: date,
        carrier: str = "",
        free: Collection[OrderLine] = (),
    ) -> None:
        super().__init__(order, data)
        for line in self.lines:
            if not line.total and f"line_{line.pk}" in self.fields:
                self.fields[f"gift_{line.pk}"] = forms.ChoiceField(
                    label=_("%(title)s (¥0): why it is given away") % {"title": line.packing_title},
                    choices=[("", "—"), *Shipment.Gift.choices],
                    required=False,
                    widget=UnfoldAdminSelectWidget,
                )
        refunded = [line for line in free if line.total]
        offered = [f"line_{line.pk}" for line in refunded if f"line_{line.pk}" in self.fields]
        if not offered:
            del self.fields["gift"]
        elif any(name.startswith("line_") and name not in offered for name in self.fields):
            self.initial.update({name: 0 for name in offered})
            self.fields["gift"].help_text = _("No money is left for: %(titles)s") % {
                "titles": "、".join(line.packing_title for line in refunded)
            }
        self.offer_carriers(carrier)
        # `ledger.sales.shipping` decides; this keeps the browser's calendar within what it allows
        paid_on = business_day(order.paid_at or order.placed_at)
        self.initial["shipped_on"] = today
        self.fields["shipped_on"].widget.attrs |= {"min": str(paid_on), "max": str(today)}

    shipped_on = forms.DateField(
        label=gettext_lazy("Shipping day"),
        help_text=gettext_lazy("The day on which the carrier took the parcel: the sale is of this day."),
        widget=UnfoldAdminTextInputWidget(attrs={"type": "date"}),
    )
    gift = forms.ChoiceField(
        label=gettext_lazy("as a gift: the money was refunded"),
        choices=[("", gettext_lazy("no: do not ship")), *Shipment.Gift.choices],
        required=False,
        widget=UnfoldAdminSelectWidget,
    )

    def clean(self) -> dict[str, Any]:
        """Require at least one piece."""
        cleaned = super().clean()
        if not self.errors and not self.quantities():
            raise forms.ValidationError(_("Choose at least one piece to ship."))
        return cleaned

    def gifts(self) -> dict[int, str]:
        """Return order line id → why it is given away, of the lines of ¥0 of a valid form."""
        return {line.pk: self.cleaned_data.get(f"gift_{line.pk}", "") for line in self.lines}


class RefundForm(LinesForm):
    """What is refunded: everything, pieces, or an amount; `again` (JPY) is filled in when one has failed.

    `sides` is what an amount may take of the shipped and of the unshipped part, see `refundable_by_side`.
    """

    EVERYTHING, PIECES, AMOUNT = "everything", "pieces", "amount"
    numbers: Mapping[str, Any] = {
        "cancel": gettext_lazy("cancel, not shipped"),
        "return": gettext_lazy("return or allowance, shipped"),
    }

    def __init__(
        self,
        order: Order,
        data: Mapping[str, Any] | None = None,
        *,
        again: int = 0,
        sides: Mapping[Side, int] | None = None,
    ) -> None:
        super().__init__(order, data)
        if again:
            self.initial.update(what=self.AMOUNT, amount=again)
        if sides:
            side = self.fields["side"]
            assert isinstance(side, forms.ChoiceField)  # noqa: S101  (tells mypy, true by the class below)
            side.choices = [
                (name.value, SIDE_LABELS[name] % {"amount": yen(left)}) for name, left in sides.items()
            ]
        else:
            del self.fields["side"]
        if not any(line.returnable for line in self.lines):
            del self.fields["restock"]

    what = forms.ChoiceField(
        label=gettext_lazy("What is refunded"),
        choices=[
            (PIECES, gettext_lazy("the pieces chosen above")),
            (AMOUNT, gettext_lazy("an amount")),
            (EVERYTHING, gettext_lazy("everything that is left")),
        ],
        initial=PIECES,
        widget=UnfoldAdminRadioSelectWidget,
    )
    include_shipping = forms.BooleanField(
        label=gettext_lazy("the shipping fee too"), required=False, widget=UnfoldBooleanWidget
    )
    amount = forms.IntegerField(
        label=gettext_lazy("Amount (¥)"),
        min_value=1,
        max_value=MAX_CHARGE,
        required=False,
        widget=UnfoldAdminIntegerFieldWidget(attrs={"inputmode": "numeric"}),
    )
    # only of an order that was shipped in part; the plan decides whether it must be chosen
    side = forms.ChoiceField(
        label=gettext_lazy("What the amount is for"), required=False, widget=UnfoldAdminRadioSelectWidget
    )
    restock = forms.BooleanField(
        label=gettext_lazy("shipped pieces are back on the shelf"), required=False, widget=UnfoldBooleanWidget
    )
    reason = forms.CharField(
        label=gettext_lazy("Reason (for us)"),
        max_length=200,
        required=False,
        widget=UnfoldAdminTextInputWidget,
    )
    # the plan of the preview that the user has seen; empty before the preview
    confirmed = forms.CharField(max_length=16, required=False, widget=forms.HiddenInput)

    def maximums(self, line: OrderLine) -> dict[str, int]:
        """Return how many pieces of a line can be cancelled, and how many were shipped and not refunded."""
        return {"cancel": line.shippable, "return": line.returnable}

    def initial_quantity(self, line: OrderLine) -> int:
        """Return 0: a refund is never filled in."""
        return 0

    def clean(self) -> dict[str, Any]:
        """Require the amount or the pieces, by the choice."""
        cleaned = super().clean() or self.cleaned_data
        what = cleaned.get("what")
        if what == self.AMOUNT and not cleaned.get("amount") and "amount" not in self.errors:
            self.add_error("amount", _("Write the amount."))
        if what == self.PIECES and not self.errors:
            pieces = any(self.quantities(name) for name in self.numbers)
            if not pieces and not cleaned.get("include_shipping"):
                raise forms.ValidationError(_("Choose at least one piece, or the shipping fee."))
        return cleaned

    def request(self) -> RefundRequest:
        """Return the refund request of a valid form."""
        what, reason = self.cleaned_data["what"], self.cleaned_data["reason"]
        restock = bool(self.cleaned_data.get("restock"))
        if what == self.AMOUNT:
            side = self.cleaned_data.get("side")
            return RefundRequest.of_amount(
                self.cleaned_data["amount"], side=Side(side) if side else None, reason=reason
            )
        if what == self.PIECES:
            return RefundRequest(
                cancel=self.quantities("cancel"),
                returns=self.quantities("return"),
                include_shipping=bool(self.cleaned_data["include_shipping"]),
                restock=restock,
                reason=reason,
            )
        return RefundRequest.full(restock=restock, reason=reason)


class KeepForm(OrderForm):
    """Amount that stays with us, and why; `keepable` (JPY) is filled in."""

    def __init__(self, order: Order, data: Mapping[str, Any] | None = None, *, keepable: int = 0) -> None:
        super().__init__(order, data)
        if keepable:
            self.initial["amount"] = keepable

    amount = forms.IntegerField(
        label=gettext_lazy("Amount that stays with us (¥)"),
        min_value=1,
        max_value=MAX_CHARGE,
        widget=UnfoldAdminIntegerFieldWidget(attrs={"inputmode": "numeric"}),
        help_text=gettext_lazy(
            "Paid in excess, not taken by the customer, or paid for what is not shipped. It becomes other "
            "income, outside the consumption tax, and can no longer be refunded in the shop."
        ),
    )
    reason = forms.CharField(
        label=gettext_lazy("Reason (for the books)"), max_length=200, widget=UnfoldAdminTextInputWidget
    )
    # the plan of the preview that the user has seen; empty before the preview
    confirmed = forms.CharField(max_length=16, required=False, widget=forms.HiddenInput)


class CancelForm(OrderForm):
    """Reason of a cancellation, and of a paid order a fee that is kept.

    What is left of an order that was shipped in part is cancelled for a fee, if it has money
    (`rest_has_money`); without a fee its pieces are refunded instead.
    """

    def __init__(
        self, order: Order, data: Mapping[str, Any] | None = None, *, rest_has_money: bool = False
    ) -> None:
        super().__init__(order, data)
        self.rest_has_money = rest_has_money
        if rest_has_money:
            fee = self.fields["fee"]
            fee.required = True
            fee.help_text = _(
                "Stays with us as other income, outside the consumption tax; the rest of the money for what "
                "is not shipped goes back, and the mail names both. Without a fee, use the refund."
            )
        elif order.status != OrderStatus.PAID:
            del self.fields["fee"]

    reason = forms.ChoiceField(
        label=gettext_lazy("reason of cancellation"),
        choices=[
            (Order.CancelReason.STAFF, Order.CancelReason.STAFF.label),
            (Order.CancelReason.CUSTOMER, Order.CancelReason.CUSTOMER.label),
        ],
        widget=UnfoldAdminSelectWidget,
    )
    fee = forms.IntegerField(
        label=gettext_lazy("Cancellation fee (¥)"),
        min_value=0,
        max_value=MAX_CHARGE,
        required=False,
        widget=UnfoldAdminIntegerFieldWidget(attrs={"inputmode": "numeric"}),
        help_text=gettext_lazy(
            "Empty: all of the money goes back. A fee stays with us as other income, outside the consumption "
            "tax; the rest goes back, and the mail names both."
        ),
    )
