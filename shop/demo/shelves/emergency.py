"""防災用品: drink and food carry the reduced rate of 8 % (消費税法, 軽減税率), the torch 10 %."""

from ..canvas import Drawing
from ..product import Category, Option, Text, product, rows

CATEGORY = Category(
    "emergency",
    Text("防災用品", "For emergencies"),
    Text("備え", "Pantry"),
    Text(
        "灯りと一緒に備えておきたい、水と食べものです。飲料と食品は軽減税率 8 % の対象です。",
        "Water and food to keep beside the lights. Drinks and food carry the reduced tax rate of 8 %.",
    ),
    7,
    keywords="防災 備蓄",
)

_DARK = Text("直射日光と高温を避けて常温保存", "Room temperature, away from sun and heat")
_JAPAN = Text("日本", "Japan")
_ONE = Text("", "")

PRODUCTS = (
    product(
        category=CATEGORY.slug,
        slug="water-5y-2l",
        sku="EM-W2",
        title=Text("5年保存水 2L", "Five-year drinking water, 2 l"),
        lead=Text("賞味期限5年・軟水・軽減税率8%", "5 years · soft water · 8 % tax"),
        text=Text(
            "加熱殺菌した軟水を、厚手のボトルに詰めた保存水です。一人一日 3 L を目安に、三日分の備えをおすすめします。ミルクや薬にも使える硬度 32 mg/L です。",
            "Heat-sterilised soft water in a sturdy bottle. Reckon 3 l for a person and day, and three days' supply. At 32 mg/l it also suits baby milk and medicine.",
        ),
        drawing=Drawing("emergency-bottles", kelvin=5000, finish="white", width=105, height=310, count=2),
        options=(
            Option("1", Text("1 本", "1 bottle"), 380, 96, count=1),
            Option("6", Text("6 本入り", "Case of 6"), 2_080, 48, count=6),
        ),
        specifications=rows(
            content="2,000 ml",
            ingredients=Text("水（鉱水）", "Water (mineral)"),
            best_before=Text("製造から 5 年", "5 years from production"),
            storage=_DARK,
            size="105 × 90 × 310 mm",
            origin=_JAPAN,
        ),
        tax_class="reduced",
        views="detail",
    ),
    product(
        category=CATEGORY.slug,
        slug="water-7y-500",
        sku="EM-W05",
        title=Text("7年保存水 500mL 24本", "Seven-year drinking water, 24 × 500 ml"),
        lead=Text("賞味期限7年・24本・軽減税率8%", "7 years · 24 bottles · 8 % tax"),
        text=Text(
            "持ち出し袋に入れやすい 500 mL の保存水です。飲み切りの大きさなので、開けたあとの衛生が気になりません。箱のまま積み重ねられます。",
            "Half-litre bottles that fit an emergency bag and are finished once opened. The cases can be stacked.",
        ),
        drawing=Drawing("emergency-bottles", kelvin=5000, finish="white", width=65, height=220, count=5),
        options=(Option("", _ONE, 3_480, 22),),
        specifications=rows(
            content=Text("500 ml × 24 本", "24 × 500 ml"),
            ingredients=Text("水（鉱水）", "Water (mineral)"),
            best_before=Text("製造から 7 年", "7 years from production"),
            storage=_DARK,
            weight="12.8 kg",
            origin=_JAPAN,
        ),
        tax_class="reduced",
        views="detail",
    ),
    product(
        category=CATEGORY.slug,
        slug="rice-5y",
        sku="EM-RC",
        title=Text("アルファ米 5年保存", "Five-year instant rice"),
        lead=Text("お湯15分・水60分・軽減税率8%", "Hot water 15 min, cold 60 min · 8 % tax"),
        text=Text(
            "お湯なら 15 分、水でも 60 分でごはんになります。袋がそのまま器になり、スプーンも入っています。国産米だけを使いました。",
            "Rice in 15 minutes with hot water, in 60 with cold. The pouch is the bowl, and a spoon is inside. Japanese rice only.",
        ),
        drawing=Drawing("emergency-pouch", kelvin=4000, finish="clay", width=130, height=170, count=1),
        options=(
            Option("1", Text("白飯 1 袋", "Plain rice, 1 pouch"), 398, 140),
            Option(
                "3", Text("三種 3 袋（白飯・わかめ・五目）", "Three kinds, 3 pouches"), 1_280, 52, count=3
            ),
            Option("12", Text("三種 12 袋", "Three kinds, 12 pouches"), 4_780, 3, None, None, 5_120, count=3),
        ),
        specifications=rows(
            content=Text("1 袋 100 g（できあがり 260 g）", "100 g a pouch (260 g prepared)"),
            ingredients=Text("うるち米（国産）、具材", "Japanese rice, garnish"),
            allergens=Text(
                "白飯・わかめ：なし／五目：小麦、大豆、鶏肉",
                "Plain and wakame: none; gomoku: wheat, soy, chicken",
            ),
            best_before=Text("製造から 5 年", "5 years from production"),
            storage=_DARK,
            origin=_JAPAN,
        ),
        tax_class="reduced",
        views="detail",
    ),
    product(
        category=CATEGORY.slug,
        slug="bread-can-5y",
        sku="EM-BR",
        title=Text("缶入りパン 5年保存", "Five-year bread in a can"),
        lead=Text("やわらか・100g・軽減税率8%", "Soft · 100 g · 8 % tax"),
        text=Text(
            "缶の中で焼き上げた、やわらかいパンです。ふたは手で開けられ、紙ごと引き出せます。プレーン、りんご、黒糖の三種類があります。",
            "Soft bread, baked in its can. The lid opens by hand and the bread comes out with its paper. Plain, apple and brown sugar.",
        ),
        drawing=Drawing("emergency-can", kelvin=3500, finish="navy", width=75, height=110, count=1),
        options=(
            Option("1", Text("プレーン 1 缶", "Plain, 1 can"), 480, 75),
            Option("3", Text("三種 3 缶", "Three kinds, 3 cans"), 1_380, 31, count=3),
        ),
        specifications=rows(
            content=Text("1 缶 100 g", "100 g a can"),
            ingredients=Text(
                "小麦粉、砂糖、卵、マーガリン、パン酵母、食塩",
                "Wheat flour, sugar, egg, margarine, yeast, salt",
            ),
            allergens=Text("小麦、卵、乳成分、大豆", "Wheat, egg, milk, soy"),
            best_before=Text("製造から 5 年", "5 years from production"),
            storage=_DARK,
            origin=_JAPAN,
        ),
        tax_class="reduced",
        views="detail",
    ),
    product(
        category=CATEGORY.slug,
        slug="biscuit-5y",
        sku="EM-BC",
        title=Text("備蓄ビスケット 60枚", "Emergency biscuits, 60 pieces"),
        lead=Text("個包装・5年・軽減税率8%", "Single packs · 5 years · 8 % tax"),
        text=Text(
            "二枚ずつ包んだ、甘さをおさえたビスケットです。配りやすく、子どもの手にも合う大きさにしました。箱は本棚に立てて置けます。",
            "Lightly sweet biscuits in packs of two, easy to share and sized for small hands. The box stands on a bookshelf.",
        ),
        drawing=Drawing("emergency-box", kelvin=3500, finish="navy", width=240, height=180, count=3),
        options=(Option("", _ONE, 2_160, 37),),
        specifications=rows(
            content=Text("60 枚（2 枚 × 30 袋）", "60 (30 packs of 2)"),
            ingredients=Text(
                "小麦粉、砂糖、ショートニング、ごま、食塩", "Wheat flour, sugar, shortening, sesame, salt"
            ),
            allergens=Text("小麦、ごま", "Wheat, sesame"),
            best_before=Text("製造から 5 年", "5 years from production"),
            storage=_DARK,
            origin=_JAPAN,
        ),
        tax_class="reduced",
        views="detail",
    ),
    product(
        category=CATEGORY.slug,
        slug="torch-crank",
        sku="EM-TR",
        title=Text("手回し充電ライト", "Hand-crank torch"),
        lead=Text("手回し・USB充電・150lm", "Crank or USB · 150 lm"),
        text=Text(
            "一分回せば約 15 分灯る、電池交換のいらないライトです。USB からも充電でき、携帯電話への給電もできます。水しぶきに耐える作りです。",
            "A minute of cranking gives about 15 minutes of light, without cells. It also charges by USB, feeds a telephone, and stands splashes.",
        ),
        drawing=Drawing("emergency-torch", kelvin=5000, finish="clay", width=190, height=58, depth=58),
        options=(
            Option(
                "RD", Text("弁柄色・昼白色 5,000 K", "Red ochre, neutral white 5,000 K"), 3_680, 44, 5000, 150
            ),
            Option(
                "NV",
                Text("紺・昼白色 5,000 K", "Navy, neutral white 5,000 K"),
                3_680,
                18,
                5000,
                150,
                finish="navy",
            ),
        ),
        watts=1.8,
        specifications=rows(
            run=Text("満充電で約 8 時間", "about 8 h fully charged"),
            supply=Text("手回し・USB-C", "Crank, USB-C"),
            protection="IPX4",
            size="190 × 58 × 58 mm",
            weight="0.28 kg",
            warranty=Text("1 年", "1 year"),
        ),
        views="evening dimensions",
    ),
)
