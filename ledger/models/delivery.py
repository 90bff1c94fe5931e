"""Carriers, how long their parcels take to each prefecture, and the islands where they take longer."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

# in the order of ISO 3166-2:JP, from north to south, as Japanese forms have it
PREFECTURE_TABLE = """
    北海道 Hokkaido 青森県 Aomori 岩手県 Iwate 宮城県 Miyagi 秋田県 Akita 山形県 Yamagata
    福島県 Fukushima 茨城県 Ibaraki 栃木県 Tochigi 群馬県 Gunma 埼玉県 Saitama 千葉県 Chiba
    東京都 Tokyo 神奈川県 Kanagawa 新潟県 Niigata 富山県 Toyama 石川県 Ishikawa 福井県 Fukui
    山梨県 Yamanashi 長野県 Nagano 岐阜県 Gifu 静岡県 Shizuoka 愛知県 Aichi 三重県 Mie
    滋賀県 Shiga 京都府 Kyoto 大阪府 Osaka 兵庫県 Hyogo 奈良県 Nara 和歌山県 Wakayama
    鳥取県 Tottori 島根県 Shimane 岡山県 Okayama 広島県 Hiroshima 山口県 Yamaguchi 徳島県 Tokushima
    香川県 Kagawa 愛媛県 Ehime 高知県 Kochi 福岡県 Fukuoka 佐賀県 Saga 長崎県 Nagasaki
    熊本県 Kumamoto 大分県 Oita 宮崎県 Miyazaki 鹿児島県 Kagoshima 沖縄県 Okinawa
"""
PREFECTURE_NAMES = PREFECTURE_TABLE.split()
PREFECTURES = dict(zip(PREFECTURE_NAMES[::2], PREFECTURE_NAMES[1::2], strict=True))
PREFECTURE_NUMBERS = {name: number for number, name in enumerate(PREFECTURES, 1)}  # JIS X 0401
MAX_DAYS = 30


class Carrier(models.Model):
    """A company that delivers parcels."""

    name = models.CharField(_("carrier"), max_length=40, unique=True)
    tracking_url = models.CharField(
        _("tracking page"),
        max_length=300,
        blank=True,
        validators=[
            RegexValidator(
                r"\Ahttps://[^\s{}]+\{number\}[^\s{}]*\Z", _("An https:// address with {number} in it.")
            )
        ],
        help_text=_("{number} stands for the tracking number. Empty: mails name the number without a link."),
    )
    is_usual = models.BooleanField(
        _("usual carrier"),
        default=False,
        help_text=_("The delivery days on the shop’s pages are those of this carrier."),
    )
    position = models.PositiveSmallIntegerField(_("position"), default=0)

    class Meta:
        verbose_name = _("carrier")
        verbose_name_plural = _("carriers and delivery days")
        ordering = ["position", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["is_usual"], condition=Q(is_usual=True), name="carrier_one_is_usual"
            )
        ]

    def __str__(self) -> str:
        return self.name


class DeliveryTime(models.Model):
    """The days that a carrier's parcel takes to a prefecture."""

    carrier = models.ForeignKey(Carrier, models.CASCADE, related_name="times", verbose_name=_("carrier"))
    prefecture = models.PositiveSmallIntegerField(
        _("prefecture"), choices=[(number, name) for name, number in PREFECTURE_NUMBERS.items()]
    )
    days = models.PositiveSmallIntegerField(
        _("days after dispatch"), validators=[MaxValueValidator(MAX_DAYS)]
    )

    class Meta:
        verbose_name = _("delivery days")
        verbose_name_plural = _("delivery days")
        ordering = ["carrier", "prefecture"]
        constraints = [
            models.UniqueConstraint(fields=["carrier", "prefecture"], name="delivery_time_once"),
            models.CheckConstraint(
                condition=Q(prefecture__range=(1, 47)), name="delivery_time_prefecture_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_prefecture_display()}: {self.days}"


class RemoteArea(models.Model):
    """Islands to which parcels take longer than to the rest of their prefecture, known by postal codes."""

    name = models.CharField(_("islands"), max_length=60)
    name_en = models.CharField(_("islands (English)"), max_length=80, blank=True)
    prefecture = models.PositiveSmallIntegerField(
        _("prefecture"), choices=[(number, name) for name, number in PREFECTURE_NUMBERS.items()]
    )
    postal_prefixes = models.CharField(
        _("beginnings of postal codes"),
        max_length=200,
        validators=[
            RegexValidator(r"\A\d{3,7}( \d{3,7})*\Z", _("Three to seven digits each, separated by blanks."))
        ],
        help_text=_("Three to seven digits each, separated by blanks. The longest that fits decides."),
    )
    more_days = models.PositiveSmallIntegerField(_("further days"), validators=[MaxValueValidator(MAX_DAYS)])

    class Meta:
        verbose_name = _("islands")
        verbose_name_plural = _("islands")
        ordering = ["prefecture", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(prefecture__range=(1, 47)), name="remote_area_prefecture_known"
            ),
            models.UniqueConstraint(fields=["prefecture", "name"], name="remote_area_once"),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse the beginning of a postal code that another area has."""
        own = set(self.postal_prefixes.split())
        for other in RemoteArea.objects.exclude(pk=self.pk):
            if shared := own & set(other.postal_prefixes.split()):
                message = _("%(prefixes)s belongs to “%(area)s”.")
                values: dict[str, Any] = {"prefixes": " ".join(sorted(shared)), "area": other.name}
                raise ValidationError({"postal_prefixes": ValidationError(message, params=values)})
