"""電源・調光."""

from ..canvas import Drawing
from ..product import Category, Option, Text, product, rows

CATEGORY = Category(
    "power",
    Text("電源・調光", "Power and control"),
    Text("納戸", "Utility room"),
    Text(
        "灯りを動かすための部品です。つなぐ前に、電圧と容量をご確認ください。",
        "The parts that run the lights. Please check voltage and load before connecting.",
    ),
    6,
    keywords="LED 照明部品",
)

_FITTER = Text("電気工事士による施工が必要", "To be installed by a licensed electrician")
_WARRANTY = Text("2 年", "2 years")
_ONE = Text("", "")

PRODUCTS = (
    product(
        category=CATEGORY.slug,
        slug="driver-24v",
        sku="PW-24",
        title=Text("LED 電源 24V 定電圧", "LED power supply, 24 V"),
        lead=Text("DC24V・PSE・60〜150W", "DC 24 V · PSE · 60–150 W"),
        text=Text(
            "テープライトのための定電圧電源です。ファンがなく、音がしません。つなぐテープの消費電力の 1.2 倍を目安に容量をお選びください。",
            "Constant voltage for tape lights, fanless and silent. Choose about 1.2 times the power of the tape.",
        ),
        drawing=Drawing("power-driver", kelvin=4000, finish="aluminium", width=180, height=40, depth=62),
        options=(
            Option("60", Text("60 W", "60 W"), 4_280, 36),
            Option("100", Text("100 W", "100 W"), 5_980, 24, width=220),
            Option("150", Text("150 W", "150 W"), 8_480, 8, width=260),
        ),
        specifications=rows(
            output="DC 24 V, 2.5 / 4.2 / 6.3 A",
            supply="AC 100–240 V, 50/60 Hz",
            protection="IP20",
            size="180–260 × 62 × 40 mm",
            weight="0.4–0.8 kg",
            material=Text("アルミ", "Aluminium"),
            warranty=_WARRANTY,
        ),
        views="detail dimensions",
    ),
    product(
        category=CATEGORY.slug,
        slug="dimmer-wall",
        sku="PW-DM",
        title=Text("壁付け調光器", "Wall dimmer"),
        lead=Text("位相制御・1〜200W・消灯つまみ", "Phase-cut · 1–200 W · push to switch"),
        text=Text(
            "つまみを回して明るさを、押して点滅を操作する調光器です。LED 電球のちらつきを抑える逆位相制御で、下限は裏のねじで合わせます。標準のスイッチボックスに納まります。",
            "Turn to dim, push to switch. Trailing-edge control keeps LED bulbs from flickering, and a screw at the back sets the lower limit. It fits a standard switch box.",
        ),
        drawing=Drawing("power-dimmer", kelvin=2700, finish="white", width=70, height=120, depth=48),
        options=(
            Option("WH", Text("白", "White"), 5_480, 29),
            Option("BK", Text("黒", "Black"), 5_480, 13, finish="black"),
        ),
        specifications=rows(
            capacity=Text("LED 1〜200 W", "LED 1–200 W"),
            supply="AC 100 V, 50/60 Hz",
            size="70 × 120 × 48 mm",
            weight="0.12 kg",
            mount=_FITTER,
            warranty=_WARRANTY,
        ),
        views="detail dimensions",
    ),
    product(
        category=CATEGORY.slug,
        slug="remote-universal",
        sku="PW-RC",
        title=Text("シーリングライト用リモコン", "Remote for ceiling lights"),
        lead=Text("2チャンネル・タイマー・到達7m", "2 channels · timer · 7 m"),
        text=Text(
            "当店のシーリングライト全機種に使えるリモコンです。二部屋を切り替えて操作でき、30 分と 60 分のおやすみタイマーが付いています。壁掛けホルダー付き。",
            "For all our ceiling lights. It switches between two rooms and has sleep timers of 30 and 60 minutes. With a wall holder.",
        ),
        drawing=Drawing("power-remote", kelvin=3500, finish="white", width=44, height=128, depth=18),
        options=(
            Option("WH", Text("白", "White"), 1_980, 58),
            Option("BK", Text("黒", "Black"), 1_980, 0, finish="black"),
        ),
        specifications=rows(
            range=Text("約 7 m", "about 7 m"),
            supply=Text("単 4 電池 2 本（別売）", "2 AAA cells (not included)"),
            size="44 × 128 × 18 mm",
            weight="46 g",
            scope=Text("壁掛けホルダー", "Wall holder"),
            warranty=Text("1 年", "1 year"),
        ),
        views="dimensions",
    ),
    product(
        category=CATEGORY.slug,
        slug="motion-sensor",
        keywords="トイレ 洗面所",
        sku="PW-MS",
        title=Text("天井付け人感センサー", "Ceiling motion sensor"),
        lead=Text("検知φ6m・照度連動・100V", "Range φ6 m · daylight switch · 100 V"),
        text=Text(
            "人の動きを見つけて、廊下や玄関の灯りを点けるセンサーです。明るい間は作動せず、消えるまでの時間は 10 秒から 10 分まで選べます。",
            "It sees movement and switches the light of a corridor or entrance. It rests while there is daylight; the delay runs from 10 seconds to 10 minutes.",
        ),
        drawing=Drawing("power-sensor", kelvin=3500, finish="white", width=86, height=52),
        options=(Option("", _ONE, 3_980, 41),),
        specifications=rows(
            range=Text("高さ 2.5 m で φ6 m", "φ6 m at 2.5 m height"),
            capacity=Text("LED 200 W まで", "LED up to 200 W"),
            supply="AC 100 V, 50/60 Hz",
            size="φ86 × 52 mm",
            weight="0.11 kg",
            mount=_FITTER,
            warranty=_WARRANTY,
        ),
        views="dimensions",
    ),
    product(
        category=CATEGORY.slug,
        slug="cord-socket-e26",
        sku="PW-CS",
        title=Text("布コード付きソケット E26", "Textile cord with E26 holder"),
        lead=Text("E26・1.5m・引掛シーリング", "E26 · 1.5 m · ceiling socket"),
        text=Text(
            "布巻きのコードに、金属のソケットを付けました。引掛シーリングに差すだけで、好きな電球を吊り下げられます。コードはカバーの中で短くできます。",
            "A textile cord with a metal holder. Push it into the ceiling socket and hang any bulb. The cord can be shortened inside the rose.",
        ),
        drawing=Drawing("power-socket", kelvin=2700, finish="black", width=48, height=1500, depth=48),
        options=(
            Option("BK", Text("黒", "Black"), 2_680, 33),
            Option("BR", Text("真鍮色", "Brass"), 3_280, 4, finish="brass"),
            Option("WH", Text("白", "White"), 2_680, 26, finish="white"),
        ),
        specifications=rows(
            base="E26",
            capacity=Text("60 W まで", "up to 60 W"),
            cord="1.5 m",
            material=Text("鋼、綿巻きコード", "Steel, cotton-covered cord"),
            weight="0.32 kg",
            mount=Text("引掛シーリング", "Japanese ceiling socket"),
            warranty=_WARRANTY,
        ),
        views="detail",
    ),
    product(
        category=CATEGORY.slug,
        slug="power-station-500",
        sku="PW-PS5",
        title=Text("ポータブル電源 512Wh", "Portable power station, 512 Wh"),
        lead=Text("512Wh・純正弦波500W・6.8kg", "512 Wh · pure sine 500 W · 6.8 kg"),
        text=Text(
            "停電の夜に、テーブルランプなら約 60 時間灯せる蓄電池です。リン酸鉄リチウムの電池は 3,000 回の充電に耐えます。正面のライトで手元も照らせます。",
            "In a blackout it keeps a table lamp lit for about 60 hours. The lithium iron phosphate cells last 3,000 cycles, and the light in front helps the hands.",
        ),
        drawing=Drawing("power-station", kelvin=3500, finish="sage", width=300, height=240, depth=210),
        options=(
            Option("SG", Text("灰緑", "Sage"), 59_800, 5),
            Option("BK", Text("黒", "Black"), 59_800, 2, finish="black"),
        ),
        specifications=rows(
            capacity="512 Wh (25.6 V, 20 Ah)",
            output=Text(
                "AC 100 V 500 W × 2、USB-C 100 W、USB-A × 3", "AC 100 V 500 W × 2, USB-C 100 W, USB-A × 3"
            ),
            supply=Text("AC 充電 約 2 時間", "AC, charged in about 2 h"),
            size="300 × 210 × 240 mm",
            weight="6.8 kg",
            warranty=Text("3 年", "3 years"),
        ),
        views="evening dimensions",
    ),
)
