"""The delivery days of a new shop: estimates (目安) for parcels from Tokyo, which staff correct in the admin.

They are the usual days by region; those to the islands are taken from samples. No carrier guarantees them.
"""

from django.apps import apps as current_apps
from django.apps.registry import Apps
from django.db import DEFAULT_DB_ALIAS

from ledger.models.delivery import PREFECTURE_NUMBERS

YAMATO = "ヤマト運輸"
CARRIERS = {  # name → address of a parcel's page
    YAMATO: "https://jizen.kuronekoyamato.co.jp/jizen/servlet/crjz.b.NQ0010?id={number}",
    "佐川急便": "https://k2k.sagawa-exp.co.jp/p/web/okurijosearch.do?okurijoNo={number}",
    "日本郵便": (
        "https://trackings.post.japanpost.jp/services/srv/search/direct"
        "?reqCodeNo1={number}&searchKind=S002&locale=ja"
    ),
}
TWO_DAYS = """
    北海道 鳥取県 島根県 岡山県 広島県 山口県 徳島県 香川県 愛媛県 高知県
    福岡県 佐賀県 長崎県 熊本県 大分県 宮崎県 鹿児島県
"""
DAYS = dict.fromkeys(PREFECTURE_NUMBERS, 1) | dict.fromkeys(TWO_DAYS.split(), 2) | {"沖縄県": 3}
# name, English name, prefecture, beginnings of postal codes, further days
ISLANDS = (
    (
        "奥尻島・利尻島・礼文島",
        "Okushiri, Rishiri, Rebun",
        "北海道",
        "04314 04315 09701 09702 09703 09704 0971",
        2,
    ),
    ("伊豆諸島", "Izu Islands", "東京都", "10001 10002 10003 10004 10005 10006 1001", 2),
    ("小笠原諸島", "Ogasawara Islands", "東京都", "1002", 9),
    ("佐渡島・粟島", "Sado, Awashima", "新潟県", "952 958006", 1),
    ("隠岐諸島", "Oki Islands", "島根県", "68401 68402 68403 68404 685", 1),
    ("大崎上島", "Osakikamijima", "広島県", "72502 72503 72504", 1),
    ("直島・小豆島", "Naoshima, Shodoshima", "香川県", "7613 7614", 1),
    ("上島町", "Kamijima", "愛媛県", "79424 79425", 1),
    (
        "壱岐・対馬・五島列島",
        "Iki, Tsushima, Goto Islands",
        "長崎県",
        "8115 817 853 85741 85742 85744 85745 85746 85747",
        1,
    ),
    (
        "種子島・屋久島・奄美群島",
        "Tanegashima, Yakushima, Amami Islands",
        "鹿児島県",
        "89009 8913 8914 8915 8916 8917 8918 8919 894",
        2,
    ),
    (
        "久米島・慶良間・伊江島などの周辺離島",
        "Kume, Kerama, Ie and other islands near Okinawa",
        "沖縄県",
        "9013 90505 90506 90507",
        2,
    ),
    ("大東諸島", "Daito Islands", "沖縄県", "90138 90139", 7),
    ("宮古島・石垣島・西表島など", "Miyako, Ishigaki, Iriomote", "沖縄県", "906 907", 2),
    ("与那国島", "Yonaguni", "沖縄県", "90718", 3),
)


def ensure_delivery_days(apps: Apps = current_apps, using: str = DEFAULT_DB_ALIAS) -> None:
    """Write carriers, days and islands, unless there is a carrier already."""
    carrier_model = apps.get_model("ledger", "Carrier")
    if carrier_model.objects.using(using).exists():
        return
    time_model, area_model = apps.get_model("ledger", "DeliveryTime"), apps.get_model("ledger", "RemoteArea")
    carrier_model.objects.using(using).bulk_create(
        carrier_model(name=name, tracking_url=address, is_usual=name == YAMATO, position=position)
        for position, (name, address) in enumerate(CARRIERS.items())
    )
    for carrier in carrier_model.objects.using(using).order_by("position"):
        time_model.objects.using(using).bulk_create(
            time_model(carrier=carrier, prefecture=PREFECTURE_NUMBERS[place], days=days)
            for place, days in DAYS.items()
        )
    area_model.objects.using(using).bulk_create(
        area_model(
            name=name,
            name_en=english,
            prefecture=PREFECTURE_NUMBERS[prefecture],
            postal_prefixes=prefixes,
            more_days=more,
        )
        for name, english, prefecture, prefixes, more in ISLANDS
    )
