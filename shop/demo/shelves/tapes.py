"""テープライト."""

from ..canvas import Drawing
from ..product import Category, Option, Text, light_options, product, rows

CATEGORY = Category(
    "tape-lights",
    Text("テープライト", "Tape lights"),
    Text("キッチン", "Kitchen"),
    Text(
        "棚の下、鏡の裏、階段の縁。光源を見せずに、面だけを明るくするためのテープです。",
        "Under a shelf, behind a mirror, along a stair: tape that lights the surface and hides the source.",
    ),
    3,
    keywords="LED 照明器具",
)

_WARRANTY = Text("3 年", "3 years")
_24V = Text("DC 24 V（別売）", "DC 24 V (sold separately)")


def _lengths(
    kelvin: int, per_metre: int, prices: tuple[int, int, int], stock: tuple[int, int, int]
) -> tuple[Option, ...]:
    """Return the lengths 1, 3 and 5 m of one light colour."""
    return tuple(
        Option(f"{m}M", Text(f"{m} m", f"{m} m"), price, left, kelvin, per_metre * m)
        for m, price, left in zip((1, 3, 5), prices, stock, strict=True)
    )


PRODUCTS = (
    product(
        category=CATEGORY.slug,
        slug="kagerou-shelf",
        sku="TL-KA",
        title=Text("棚下テープライト かげろう", "Kagerou shelf tape"),
        lead=Text("粒の見えないCOB・Ra95・900lm/m", "Dotless COB · Ra 95 · 900 lm/m"),
        text=Text(
            "LED の粒が見えない COB テープです。棚板の裏に貼れば、一本の線のように光ります。裏面は 3M の両面テープで、50 mm ごとに切れます。",
            "COB tape without visible dots: under a shelf it reads as one line. It is backed with 3M adhesive and can be cut every 50 mm.",
        ),
        drawing=Drawing("tape-shelf", kelvin=2700, finish="walnut", width=10, height=3),
        options=_lengths(2700, 900, (3_480, 8_980, 13_800), (40, 26, 12)),
        specifications=rows(
            leds=Text("COB 480 チップ/m", "COB, 480 chips per m"),
            output="10 W/m, 900 lm/m",
            cut="50 mm",
            ra="Ra 95",
            supply=_24V,
            size=Text("幅 10 mm・厚さ 3 mm", "10 mm wide, 3 mm thick"),
            protection="IP20",
            warranty=_WARRANTY,
        ),
        featured=4,
    ),
    product(
        category=CATEGORY.slug,
        slug="maki-reel-5m",
        keywords="まき",
        sku="TL-MA5",
        title=Text("LED テープ 巻 5 m リール", "Maki LED tape, 5 m reel"),
        lead=Text("5m・調光可・6,000lm", "5 m · dimmable · 6,000 lm"),
        text=Text(
            "設備用の標準テープを 5 m のリールでお届けします。25 mm ごとに切れ、はんだ不要のコネクターが二つ付きます。同じロットの色差は 3 ステップ以内です。",
            "The standard tape for built-in work, on a 5 m reel. It is cut every 25 mm and comes with two solderless connectors. Colours within a lot differ by no more than 3 steps.",
        ),
        drawing=Drawing("tape-reel", finish="white", width=10, height=2),
        options=light_options("L W N D", 7_800, (5_400, 5_800, 6_000, 6_000), (33, 21, 47, 9), 9_200),
        watts=48,
        specifications=rows(
            leds=Text("120 個/m", "120 per m"),
            cut="25 mm",
            ra="Ra 90",
            supply=_24V,
            size=Text("5 m × 幅 10 mm・厚さ 2 mm", "5 m × 10 mm, 2 mm thick"),
            weight="0.14 kg",
            scope=Text("コネクター 2 個", "2 connectors"),
            warranty=_WARRANTY,
        ),
    ),
    product(
        category=CATEGORY.slug,
        slug="utsushi-mirror",
        sku="TL-UT",
        title=Text("鏡裏テープライト うつし", "Utsushi mirror tape"),
        lead=Text("防湿IP65・Ra97・2,000lm", "IP65 · Ra 97 · 2,000 lm"),
        text=Text(
            "洗面所の鏡の裏に回す、シリコンで覆ったテープです。湿気に強く、Ra97 の光で顔色がそのまま映ります。2.5 m で直径 600〜750 mm の鏡を一周します。",
            "Silicone-clad tape to run behind a bathroom mirror. It stands the damp, and Ra 97 shows a face as it is. 2.5 m goes round a mirror of 600 to 750 mm.",
        ),
        drawing=Drawing("tape-mirror", finish="brass", width=12, height=5),
        options=light_options("L WW N", 9_400, (1_850, 1_950, 2_000), (14, 18, 3)),
        watts=24,
        specifications=rows(
            ra="Ra 97",
            protection="IP65",
            cut="50 mm",
            supply=Text("DC 24 V 電源付属", "DC 24 V supply included"),
            size=Text("2.5 m × 幅 12 mm・厚さ 5 mm", "2.5 m × 12 mm, 5 mm thick"),
            weight="0.35 kg",
            warranty=_WARRANTY,
        ),
    ),
    product(
        category=CATEGORY.slug,
        slug="temoto-kitchen",
        sku="TL-TE",
        title=Text("キッチン手元灯 てもと", "Temoto kitchen light"),
        lead=Text("アルミプロファイル・手かざし・1,100lm", "Aluminium profile · wave to switch · 1,100 lm"),
        text=Text(
            "吊戸棚の下に付ける、アルミの枠に収めたライトです。手をかざすと点き、ぬれた手で触れずに済みます。乳白カバーは外して洗えます。",
            "A light in an aluminium profile for under the cabinets. A wave of the hand switches it, so that wet hands touch nothing. The opal cover comes off for washing.",
        ),
        drawing=Drawing("tape-cabinet", kelvin=4000, finish="sage", width=18, height=12),
        options=(
            Option("60", Text("長さ 600 mm", "600 mm"), 6_480, 20, 4000, 740),
            Option("90", Text("長さ 900 mm", "900 mm"), 8_280, 25, 4000, 1_100),
            Option("120", Text("長さ 1,200 mm", "1,200 mm"), 9_980, 0, 4000, 1_480),
        ),
        specifications=rows(
            output="14 W/m",
            ra="Ra 92",
            range=Text("センサー 5〜8 cm", "Sensor 5–8 cm"),
            supply=Text("AC アダプター付属", "AC adapter included"),
            protection="IP40",
            size=Text("断面 18 × 12 mm", "Section 18 × 12 mm"),
            mount=Text("ねじ または 磁石", "Screws or magnets"),
            warranty=_WARRANTY,
        ),
    ),
    product(
        category=CATEGORY.slug,
        slug="kizahashi-stair",
        sku="TL-KZ",
        title=Text("階段テープライト きざはし", "Kizahashi stair tape"),
        lead=Text("人感センサー・13段分・120lm/段", "Motion sensor · 13 steps · 120 lm per step"),
        text=Text(
            "踏み板の下に一段ずつ付ける、短いテープ 13 本のセットです。上り口と下り口のセンサーが人を見つけ、一段ずつ順に点灯します。夜の足元にちょうどよい明るさです。",
            "Thirteen short lengths, one for each tread. Sensors at both ends see who comes and light step after step, just brightly enough for the night.",
        ),
        drawing=Drawing("tape-stair", kelvin=2700, finish="oak", width=10, height=4),
        options=light_options("L WW", 34_800, (1_560, 1_600), (4, 6)),
        watts=26,
        specifications=rows(
            ra="Ra 90",
            range=Text("センサー 2 m", "Sensor 2 m"),
            supply=Text("電源・制御器付属", "Supply and controller included"),
            size=Text("600 mm × 13 本", "13 × 600 mm"),
            weight="1.8 kg",
            mount=Text("両面テープ・クリップ", "Adhesive and clips"),
            warranty=_WARRANTY,
        ),
    ),
    product(
        category=CATEGORY.slug,
        slug="nagare-cove",
        sku="TL-NA",
        title=Text("間接照明テープ ながれ", "Nagare cove tape"),
        lead=Text("高出力・24V・1,800lm/m", "High output · 24 V · 1,800 lm/m"),
        text=Text(
            "カーテンボックスや折上天井のための、明るいテープです。熱を逃がすアルミの台に貼って使います。長く引いても暗くならないよう、5 m まで片側給電で使えます。",
            "Bright tape for curtain boxes and coffered ceilings, to be laid on an aluminium base that carries off the heat. Up to 5 m from one end without fading.",
        ),
        drawing=Drawing("tape-cove", kelvin=2700, finish="linen", width=12, height=3),
        options=_lengths(2700, 1_800, (5_980, 15_800, 24_800), (18, 7, 2)),
        specifications=rows(
            leds=Text("240 個/m", "240 per m"),
            output="18 W/m, 1,800 lm/m",
            cut="33 mm",
            ra="Ra 92",
            supply=_24V,
            size=Text("幅 12 mm・厚さ 3 mm", "12 mm wide, 3 mm thick"),
            warranty=_WARRANTY,
        ),
    ),
)
