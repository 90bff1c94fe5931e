"""パネルライト."""

from ..canvas import Drawing
from ..product import DRAFT, Category, Option, Text, light_options, product, rows

CATEGORY = Category(
    "panels",
    Text("パネルライト", "Panels and base lights"),
    Text("仕事場", "Workplace"),
    Text(
        "事務所、店、作業室のための面光源です。施工に要る寸法と配光を載せています。",
        "Flat light for offices, shops and workrooms, with the measures that an installer needs.",
    ),
    4,
    keywords="LED 照明器具",
)

_FITTER = Text("電気工事士による施工が必要", "To be installed by a licensed electrician")
_WARRANTY = Text("5 年", "5 years")

PRODUCTS = (
    product(
        category=CATEGORY.slug,
        slug="shiro-600-grid",
        keywords="しろ",
        sku="PN-600",
        title=Text("グリッド天井用パネル 白 600角", "Shiro grid panel, 600 × 600"),
        lead=Text("600角・UGR19・4,000lm", "600 × 600 · UGR 19 · 4,000 lm"),
        text=Text(
            "システム天井の枠にそのまま載せる 600 mm 角のパネルです。プリズム板がまぶしさを抑え、画面作業の基準 UGR19 を満たします。四枚入りの箱でも、一枚ずつ梱包しています。",
            "Rests in the frame of a grid ceiling. A prismatic sheet keeps glare to UGR 19, the measure for screen work. In boxes of four each is packed for itself.",
        ),
        drawing=Drawing("panel-grid", finish="white", width=595, height=32, count=4),
        options=(
            Option(
                "N1", Text("昼白色 5,000 K・1 枚", "Neutral white 5,000 K, 1 piece"), 9_800, 60, 5000, 4_000
            ),
            Option(
                "N4",
                Text("昼白色 5,000 K・4 枚", "Neutral white 5,000 K, 4 pieces"),
                36_800,
                14,
                5000,
                4_000,
                39_200,
            ),
            Option("W1", Text("白色 4,000 K・1 枚", "White 4,000 K, 1 piece"), 9_800, 38, 4000, 3_900),
        ),
        watts=30,
        specifications=rows(
            ra="Ra 85",
            beam="UGR < 19",
            dimming="PWM / 0–10 V",
            size="595 × 595 × 32 mm",
            weight="2.6 kg",
            mount=_FITTER,
            life=Text("50,000 時間", "50,000 hours"),
            warranty=_WARRANTY,
        ),
    ),
    product(
        category=CATEGORY.slug,
        slug="usuita-panel",
        keywords="うすいた",
        sku="PN-US",
        title=Text("直付け薄型パネル うす板", "Usuita surface panel"),
        lead=Text("厚さ10mm・壁にも・最大4,400lm", "10 mm thin · wall or ceiling · up to 4,400 lm"),
        text=Text(
            "厚さ 10 mm の枠だけのパネルです。天井にも壁にも付けられ、窓のない部屋に明るい面をつくります。角形と長形があり、同じ金具で付きます。",
            "A panel that is hardly more than its 10 mm frame. On a ceiling or a wall it gives a windowless room a bright surface. Square and long use the same fixings.",
        ),
        drawing=Drawing("panel-flat", finish="white", width=595, height=595, depth=10),
        options=(
            Option(
                "6N",
                Text("600角・昼白色 5,000 K", "600 × 600, neutral white 5,000 K"),
                11_800,
                22,
                5000,
                4_200,
            ),
            Option(
                "6L", Text("600角・電球色 2,700 K", "600 × 600, warm white 2,700 K"), 11_800, 11, 2700, 3_800
            ),
            Option(
                "12N",
                Text("1200×300・昼白色 5,000 K", "1200 × 300, neutral white 5,000 K"),
                12_800,
                17,
                5000,
                4_400,
                width=1195,
                height=295,
            ),
            Option(
                "12D",
                Text("1200×300・昼光色 6,500 K", "1200 × 300, daylight 6,500 K"),
                12_800,
                3,
                6500,
                4_400,
                width=1195,
                height=295,
                finish="black",
            ),
        ),
        watts=36,
        specifications=rows(
            ra="Ra 90",
            size="595 × 595 × 10 mm / 1195 × 295 × 10 mm",
            weight="3.0 kg",
            material=Text("アルミ、アクリル導光板", "Aluminium, acrylic light guide"),
            mount=_FITTER,
            warranty=_WARRANTY,
        ),
    ),
    product(
        category=CATEGORY.slug,
        slug="tsurihashi-linear",
        keywords="つりはし",
        sku="PN-TH",
        title=Text("吊り下げリニア 吊橋", "Tsurihashi linear pendant"),
        lead=Text("上下配光・1,200mm・3,600lm", "Up and down light · 1,200 mm · 3,600 lm"),
        text=Text(
            "食卓や会議机の上に吊る、細長いペンダントです。光の七割を下へ、三割を天井へ送り、机の上だけが浮かないようにしました。ワイヤーは 1.5 m で、工具なしで長さを変えられます。",
            "A long pendant for dining and meeting tables. Seven tenths of its light go down and three up, so that the table does not float in the dark. The 1.5 m wires adjust without tools.",
        ),
        drawing=Drawing("panel-linear", finish="black", width=1200, height=45, depth=40),
        options=(
            Option("BL", Text("黒・電球色 2,700 K", "Black, warm white 2,700 K"), 39_800, 6, 2700, 3_300),
            Option("BN", Text("黒・昼白色 5,000 K", "Black, neutral white 5,000 K"), 39_800, 9, 5000, 3_600),
            Option(
                "OL",
                Text("オーク・電球色 2,700 K", "Oak, warm white 2,700 K"),
                46_800,
                2,
                2700,
                3_300,
                finish="oak",
            ),
        ),
        watts=32,
        specifications=rows(
            ra="Ra 92",
            dimming=Text("位相制御調光器に対応", "For phase-cut dimmers"),
            cord=Text("ワイヤー 1.5 m", "1.5 m wires"),
            size="1200 × 40 × 45 mm",
            weight="2.4 kg",
            mount=Text("引掛シーリング・ダクトレール", "Ceiling socket or track"),
            warranty=_WARRANTY,
        ),
    ),
    product(
        category=CATEGORY.slug,
        slug="kibi-base-40",
        sku="PN-KB",
        title=Text("ベースライト きび 40形", "Kibi base light, 40 type"),
        lead=Text("40形2灯相当・6,900lm", "Replaces two 40-type tubes · 6,900 lm"),
        text=Text(
            "工場、倉庫、教室の蛍光灯器具に置き換わる、一体型のベースライトです。吊りボルトの間隔は従来の器具と同じで、天井の穴を開け直す必要がありません。ライトバーだけを外して交換できます。",
            "A one-piece base light that takes the place of fluorescent fittings in workshops and classrooms. The bolts are spaced as before, so the ceiling needs no new holes. The light bar alone can be replaced.",
        ),
        drawing=Drawing("panel-base", finish="white", width=1250, height=55, depth=150),
        options=light_options("W N D", 13_600, (6_700, 6_900, 6_900), (30, 44, 12)),
        watts=43.4,
        specifications=rows(
            replaces=Text("Hf32形高出力 2 灯器具", "Two Hf32 tubes, high output"),
            ra="Ra 83",
            size="1250 × 150 × 55 mm",
            weight="2.1 kg",
            mount=_FITTER,
            life=Text("40,000 時間", "40,000 hours"),
            warranty=_WARRANTY,
        ),
    ),
    product(
        category=CATEGORY.slug,
        slug="shizuku-downlight",
        sku="PN-SZ",
        title=Text("ダウンライト しずく φ100", "Shizuku downlight, φ100"),
        lead=Text("埋込穴φ100・深型・810lm", "Cut-out φ100 · deep · 810 lm"),
        text=Text(
            "光源を 45 mm 奥に置いた、まぶしさの少ないダウンライトです。壁から 200 mm 離して並べると、壁に光の弧がきれいに出ます。断熱材を敷いた天井（SB 形）にそのまま使えます。",
            "The source sits 45 mm deep and is hardly seen. In a row, 200 mm from the wall, it draws clear scallops. For insulated ceilings (type SB).",
        ),
        drawing=Drawing("panel-downlights", finish="white", width=115, height=72, count=3),
        options=light_options("L WW N", 3_980, (730, 780, 810), (88, 64, 71)),
        watts=7.9,
        specifications=rows(
            beam="60°",
            ra="Ra 93",
            dimming=Text("位相制御調光器に対応", "For phase-cut dimmers"),
            size=Text("φ115・埋込穴 φ100・高さ 72 mm", "φ115, cut-out φ100, 72 mm high"),
            weight="0.3 kg",
            mount=_FITTER,
            warranty=_WARRANTY,
        ),
    ),
    product(
        category=CATEGORY.slug,
        slug="madobe-panel",
        keywords="まどべ",
        sku="PN-MD",
        title=Text("調色パネル 窓辺（準備中）", "Madobe tunable panel (in preparation)"),
        lead=Text("2,700〜6,500K・時刻に連動", "2,700–6,500 K · follows the hour"),
        text=Text(
            "時刻に合わせて、朝は昼光色、夕方は電球色へと移るパネルです。発売の準備を進めています。仕様は予告なく変わることがあります。",
            "A panel that follows the hour from daylight in the morning to warm white in the evening. In preparation; the specification may still change.",
        ),
        drawing=Drawing("panel-flat", finish="oak", width=900, height=600, depth=35),
        options=light_options("N L", 58_000, (4_600, 4_200), (0, 0)),
        watts=40,
        specifications=rows(
            ra="Ra 95",
            dimming=Text("1〜100 %", "1–100 %"),
            size="900 × 600 × 35 mm",
            weight="6.2 kg",
            mount=_FITTER,
            warranty=_WARRANTY,
        ),
        status=DRAFT,
    ),
)
